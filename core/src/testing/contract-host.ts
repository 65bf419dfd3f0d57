import assert from "node:assert/strict";
import type { Fault } from "./host-calls.js";
import {
  PluginBench,
  type BenchOptions,
  type HostState,
} from "./plugin-bench.js";
import type { TreeSnapshot } from "./tree-snapshot.js";

/** Most host calls of one start that faults are injected at. */
const mostFaults = 200;

/** Preparing twice gives what preparing once gives. */
export async function checkIdempotence(options: BenchOptions): Promise<void> {
  await PluginBench.use(options, async (bench) => {
    const set = await bench.load();
    await bench.start(set);
    const once = await bench.state();
    await bench.start(set);
    assert.deepEqual(await bench.state(), once, "preparing twice differs");
    await bench.start(await bench.load());
    assert.deepEqual(
      await bench.state(),
      once,
      "preparing again under a new daemon differs",
    );
  });
}

/** Cleanup is fine with nothing there, and a second time. */
export async function checkBareCleanup(options: BenchOptions): Promise<void> {
  for (const reason of ["stop", "delete"] as const)
    await PluginBench.use(options, async (bench) => {
      const before = await bench.state();
      assert.deepEqual(await bench.cleanUp(reason), [], "cleanup alone fails");
      assert.deepEqual(await bench.cleanUp(reason), [], "cleanup twice fails");
      const after = await bench.state();
      assertNothingLeft(before, after, before.vm, "cleanup alone");
    });
}

/** After a whole start, cleanup leaves nothing outside of the VM's directory; done again, it changes nothing. */
export async function checkCleanup(options: BenchOptions): Promise<void> {
  for (const reason of ["stop", "delete"] as const)
    await PluginBench.use(options, async (bench) => {
      const before = await bench.state();
      await bench.start(await bench.load());
      assert.deepEqual(await bench.cleanUp(reason), [], "cleanup fails");
      const after = await bench.state();
      assertNothingLeft(before, after, after.vm, "cleanup");
      assert.deepEqual(await bench.cleanUp(reason), [], "cleanup twice fails");
      assert.deepEqual(await bench.state(), after, "cleanup twice differs");
    });
}

/** A failure of any host call, before or after it had its effect, leaves nothing half-made once cleanup has run. */
export async function checkFaults(options: BenchOptions): Promise<void> {
  const { names, durable } = await recordStart(options);
  for (const moment of ["before", "after"] as const)
    for (const [index, name] of names.entries())
      await withFault(
        options,
        { at: index + 1, moment },
        durable,
        `a failure ${moment} "${name}"`,
      );
}

/** A cancel that came before is honoured: nothing is done, or an error is thrown. */
export async function checkAbortBefore(options: BenchOptions): Promise<void> {
  const { durable } = await recordStart(options);
  await PluginBench.use(options, async (bench) => {
    const before = await bench.state();
    const aborts = new AbortController();
    aborts.abort();
    const set = await bench.load();
    const failed = await fails(() => bench.start(set, aborts.signal));
    if (!failed) {
      const now = await bench.state();
      assert.deepEqual(now, before, "a cancelled start changes the host");
      assert.deepEqual(bench.calls.log, [], "a cancelled start calls the host");
    }
    assert.deepEqual(await bench.cleanUp("stop"), [], "cleanup fails");
    const after = await bench.state();
    assertNothingLeft(before, after, durable, "a cancelled start");
  });
}

/** A cancel while a host call runs ends the start with an error, and cleanup works. */
export async function checkAbortInside(options: BenchOptions): Promise<void> {
  const { names, durable } = await recordStart(options);
  for (const [index, name] of names.entries()) {
    const at = index + 1;
    const what = `a cancel at "${name}"`;
    const outcome = await withFault(
      options,
      { at, moment: "abort" },
      durable,
      what,
    );
    // A start that was all but done may end well; one that goes on calling the host may not.
    assert.ok(
      outcome.failed || outcome.callsMade === at,
      `${what} is ignored: the start goes on`,
    );
  }
}

/** Every command can be cancelled and ends by itself. */
export async function checkCommands(options: BenchOptions): Promise<void> {
  await PluginBench.use(options, async (bench) => {
    await bench.start(await bench.load());
    for (const command of bench.host.commands.commands) {
      const text = [command.file, ...command.args].join(" ");
      assert.ok(command.signal, `no signal is given to: ${text}`);
      assert.ok(
        Number.isFinite(command.timeoutMs) && command.timeoutMs > 0,
        `no time limit is given to: ${text}`,
      );
    }
  });
}

/** A start that goes well: the host calls it makes, and what stays in the VM's directory after a stop. */
async function recordStart(
  options: BenchOptions,
): Promise<{ names: readonly string[]; durable: TreeSnapshot }> {
  return PluginBench.use(options, async (bench) => {
    await bench.start(await bench.load());
    const names = bench.calls.log.slice(0, mostFaults);
    assert.deepEqual(await bench.cleanUp("stop"), [], "cleanup fails");
    return { names, durable: (await bench.state()).vm };
  });
}

async function withFault(
  options: BenchOptions,
  fault: Fault,
  durable: TreeSnapshot,
  what: string,
): Promise<{ failed: boolean; callsMade: number }> {
  return PluginBench.use(options, async (bench) => {
    const before = await bench.state();
    const set = await bench.load();
    bench.calls.expect(fault);
    const failed = await fails(() => bench.start(set));
    const callsMade = bench.calls.log.length;
    const faults = await bench.cleanUp("stop");
    assert.deepEqual(faults, [], `cleanup fails after ${what}`);
    assertNothingLeft(before, await bench.state(), durable, what);
    return { failed, callsMade };
  });
}

async function fails(work: () => Promise<void>): Promise<boolean> {
  try {
    await work();
    return false;
  } catch {
    // Whatever it is: the kit injected it, or looks at what it left.
    return true;
  }
}

/** @param durable what may be in the VM's directory, whole */
function assertNothingLeft(
  before: HostState,
  after: HostState,
  durable: TreeSnapshot,
  what: string,
): void {
  assert.deepEqual(
    after.outside,
    before.outside,
    `${what} leaves something outside of the VM's directory`,
  );
  assert.deepEqual(
    after.objects,
    before.objects,
    `${what} leaves something on the host`,
  );
  const allowed = { ...before.vm, ...durable };
  for (const [path, description] of Object.entries(after.vm))
    assert.equal(
      description,
      allowed[path],
      `${what} leaves ${path} half-made in the VM's directory`,
    );
  for (const path of Object.keys(before.vm))
    assert.ok(
      path in after.vm,
      `${what} removes ${path}, which it did not make`,
    );
}
