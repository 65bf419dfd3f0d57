import { describe, expect, it } from "vitest";
import type { VmRecord } from "@banger/core";
import {
  fakeDaemon,
  FakeHost,
  fakeOperation,
  fakePlugin,
  fakeThings,
  type Fault,
} from "@banger/core/testing";

function bench() {
  const host = new FakeHost();
  const plugins = [fakePlugin(host, "one"), fakePlugin(host, "two")];
  return { host, daemon: () => fakeDaemon(host, { plugins }) };
}

/** The calls of a launch that goes well. */
async function callsOfLaunch(): Promise<readonly string[]> {
  const { host, daemon } = bench();
  await daemon().vmService.launch({ name: "otter" }, fakeOperation());
  return [...host.calls.log];
}

/** The calls of the start of a VM that has run before. */
async function callsOfStart(): Promise<readonly string[]> {
  const { host, vm, service } = await stoppedVm();
  host.calls.expect();
  await service.start(vm.id, fakeOperation());
  return [...host.calls.log];
}

async function stoppedVm() {
  const { host, daemon } = bench();
  const service = daemon().vmService;
  const { id } = await service.launch({ name: "otter" }, fakeOperation());
  const vm = await service.stop(id, {}, fakeOperation());
  return { host, vm, service, daemon };
}

const launchCalls = await callsOfLaunch();
const startCalls = await callsOfStart();
const numbered = (calls: readonly string[]) =>
  calls.map((name, index) => ({ name, at: index + 1 }));
const vmmRuns = launchCalls.indexOf("launch the VMM") + 1;
// Once the record says `running` the start has succeeded; what follows only watches.
const commit = launchCalls.lastIndexOf("update the record") + 1;

const whatStoppedVmKeeps = (vm: VmRecord) =>
  [fakeThings.directory(vm.id), fakeThings.rootDisk(vm.id)].sort();

describe("a launch", () => {
  it("goes through every contract", () => {
    expect(launchCalls).toEqual([
      "ensure the image",
      "insert the record",
      "one preflight",
      "two preflight",
      "make the directories",
      "choose a VMM",
      "authorizedKey",
      "hostKey",
      "update the record",
      "make the root disk",
      "prepare the network",
      "update the record",
      "one prepareHost",
      "update the record",
      "two prepareHost",
      "write the boot file",
      "launch the VMM",
      "write the handles",
      "wait for the guest",
      "connect",
      "one postStart",
      "two postStart",
      "update the record",
    ]);
  });

  for (const moment of ["before", "after"] as const)
    it.each(numbered(launchCalls))(
      `that fails ${moment} $at "$name" leaves nothing running`,
      async ({ at }) => {
        const { host, daemon } = bench();
        const { vmService } = daemon();
        host.calls.expect({ at, moment });
        const launched = vmService.launch({ name: "otter" }, fakeOperation());
        await expect(launched).rejects.toThrow();
        const [vm, ...others] = await vmService.list();
        expect(others).toEqual([]);
        if (at === 2 && moment === "after") {
          // The row was written although its writing failed: nobody knows its id, and it can be deleted.
          expect(vm?.state).toBe("created");
          expect(host.inventory()).toEqual([]);
        } else if (at <= vmmRuns) {
          expect(vm).toBeUndefined();
          expect(host.inventory()).toEqual([]);
        } else {
          expect(vm?.state).toBe("error");
          expect(vm?.runtime.lastError).toBeTruthy();
          expect(host.inventory()).toEqual(whatStoppedVmKeeps(vm!));
        }
        if (vm) {
          await vmService.delete(vm.id, fakeOperation());
          expect(host.inventory()).toEqual([]);
        }
      },
    );

  it.each(numbered(launchCalls).filter(({ at }) => at < commit))(
    `that is cancelled at $at "$name" leaves nothing at all`,
    async ({ at }) => {
      const { host, daemon } = bench();
      const { vmService } = daemon();
      host.calls.expect({ at, moment: "abort" });
      await expect(
        vmService.launch({}, fakeOperation(host.calls.signal)),
      ).rejects.toMatchObject({ code: "ERR_CANCELLED", kind: "cancelled" });
      expect(await vmService.list()).toEqual([]);
      expect(host.inventory()).toEqual([]);
    },
  );
});

describe("the start of a VM that has run before", () => {
  for (const moment of ["before", "after", "abort"] as const)
    it.each(numbered(startCalls).slice(0, -1))(
      `that meets "${moment}" at $at "$name" keeps the VM, and leaves nothing running`,
      async ({ at }) => {
        const { host, vm, service } = await stoppedVm();
        host.calls.expect({ at, moment });
        const { signal } = host.calls;
        await expect(
          service.start(vm.id, fakeOperation(signal)),
        ).rejects.toThrow();
        const after = await service.get(vm.id);
        const ran = at > startCalls.indexOf("launch the VMM") + 1;
        expect(after.state).toBe(
          ran && moment !== "abort" ? "error" : "stopped",
        );
        expect(host.inventory()).toEqual(whatStoppedVmKeeps(vm));
        host.calls.expect();
        const again = await service.start(vm.id, fakeOperation());
        expect(again.state).toBe("running");
        expect(again.runtime.lastError).toBeUndefined();
      },
    );
});

describe("a daemon that is killed", () => {
  const moments = ["kill-before", "kill-after"] as const;

  for (const moment of moments)
    it.each(numbered(launchCalls))(
      `${moment} $at "$name" of a launch leaves nothing after the next one has begun`,
      async ({ at }) => {
        const { host, daemon } = bench();
        await killedAt(host, { at, moment }, () =>
          daemon().vmService.launch({ name: "otter" }, fakeOperation()),
        );
        const next = daemon().vmService;
        await next.reconcile(fakeOperation());
        const vms = await next.list();
        const running = vms.filter(({ state }) => state === "running");
        expect(running).toHaveLength(
          at === commit && moment === "kill-after" ? 1 : 0,
        );
        if (running.length > 0) expect(host.vmm.launches).toHaveLength(1);
        // What the killed operation alone was making goes with it.
        else expect(vms).toEqual([]);
        for (const vm of vms) await next.delete(vm.id, fakeOperation());
        expect(host.inventory()).toEqual([]);
      },
    );

  for (const moment of moments)
    for (const operation of ["stop", "delete"] as const)
      it(`${moment} any call of a ${operation} loses no VM and leaves nothing`, async () => {
        for (let at = 1; ; at++) {
          const { host, daemon } = bench();
          const first = daemon().vmService;
          const { id } = await first.launch({}, fakeOperation());
          const work = () =>
            operation === "stop"
              ? first.stop(id, {}, fakeOperation())
              : first.delete(id, fakeOperation());
          const killed = await killedAt(host, { at, moment }, work);
          const next = daemon().vmService;
          await next.reconcile(fakeOperation());
          for (const vm of await next.list()) {
            const alive = host.inventory().includes(fakeThings.process(vm.id));
            expect(vm.state).toBe(alive ? "running" : "stopped");
            await next.delete(vm.id, fakeOperation());
          }
          expect(host.inventory()).toEqual([]);
          if (!killed) break;
          expect(at).toBeLessThan(50);
        }
      });
});

/** @returns whether the kill came before the end of the work */
async function killedAt(
  host: FakeHost,
  fault: Fault,
  work: () => Promise<unknown>,
): Promise<boolean> {
  host.calls.expect(fault);
  const killed = host.calls.killed.then(() => true);
  const outcome = await Promise.race([killed, work().then(() => false)]);
  host.calls.expect();
  host.loseDaemon();
  return outcome;
}
