import assert from "node:assert/strict";
import { guestDefaults, machineDefaults } from "../lifecycle/guest-defaults.js";
import type { PluginSet } from "../plugins/plugin-set.js";
import { fakeOperation } from "./fixtures.js";
import { PluginBench, type BenchOptions } from "./plugin-bench.js";

/** The config hooks are pure: frozen input in, a new object out, the same for the same input, nothing done. */
export async function checkConfigHook(
  hook: "guestConfig" | "machineConfig",
  options: BenchOptions,
): Promise<void> {
  await PluginBench.use(options, async (bench) => {
    const vm = deepFreeze(await bench.vm());
    const { image, network } = bench.host;
    const call = (set: PluginSet): Promise<unknown> => {
      const keys = { privateKey: "private", publicKey: "public" };
      // A field of a later core: kept, whatever the plugin knows of it.
      const later = { later: Object.freeze({ kept: true }) };
      const operation = fakeOperation();
      if (hook === "guestConfig") {
        const guest = guestDefaults({
          vm,
          network: network.guestNetwork(vm),
          authorizedKey: "key",
          hostKey: keys,
        });
        const initial = deepFreeze({ ...guest, ...later });
        return set.guestConfig(initial, vm, image, operation);
      }
      const machine = machineDefaults({
        vm,
        rootDrive: { path: "/root.qcow2", format: "qcow2", readOnly: false },
        nic: network.nic(vm),
        agent: { socketPath: "/agent.sock" },
      });
      const initial = deepFreeze({ ...machine, ...later });
      return set.machineConfig(initial, vm, image, operation);
    };
    const before = await bench.state();
    const set = await bench.load();
    const first = await call(set);
    assert.ok(
      typeof first === "object" && first !== null,
      `${hook} returns no configuration`,
    );
    assert.deepEqual(await call(set), first, `${hook} differs the second time`);
    assert.deepEqual(
      await call(await bench.load()),
      first,
      `${hook} differs under a new daemon`,
    );
    assert.deepEqual(bench.calls.log, [], `${hook} calls the host`);
    assert.deepEqual(await bench.state(), before, `${hook} changes the host`);
  });
}

/** An equal configuration is agreed to, and nothing is done. */
export async function checkEqualChange(options: BenchOptions): Promise<void> {
  await PluginBench.use(options, async (bench) => {
    const set = await bench.load();
    await bench.start(set);
    const before = await bench.state();
    bench.calls.expect();
    const vm = await bench.vm();
    for (const live of [true, false])
      await set.configChange(vm, structuredClone(vm), live, fakeOperation());
    assert.deepEqual(bench.calls.log, [], "an equal config calls the host");
    assert.deepEqual(
      await bench.state(),
      before,
      "an equal config changes the host",
    );
  });
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== "object" || value === null) return value;
  for (const part of Object.values(value)) deepFreeze(part);
  return Object.isFrozen(value) ? value : Object.freeze(value);
}
