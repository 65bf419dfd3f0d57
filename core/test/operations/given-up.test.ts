import { expect, it } from "vitest";
import { definePlugin, type Plugin } from "@banger/core";
import {
  fakeDaemon,
  FakeHost,
  fakeOperation,
  fakePlugin,
} from "@banger/core/testing";

/** A plugin that waits in the taps that reconcile calls until it is told to end. */
function slowPlugin(): { readonly plugin: Plugin; readonly ends: string[] } {
  const ends: string[] = [];
  const wait = (hook: string, signal: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
      signal.addEventListener("abort", () => {
        ends.push(hook);
        resolve();
      });
    });
  const plugin = definePlugin({
    id: "slow",
    apply: (hooks) => {
      hooks.cleanup.tapPromise("slow", ({ signal }) => wait("cleanup", signal));
      hooks.configChange.tapPromise("slow", (_before, _after, { signal }) =>
        wait("configChange", signal),
      );
    },
  });
  return { plugin, ends };
}

/** A VM that a daemon left running, and a next one whose plugin takes too long. */
async function succession() {
  const host = new FakeHost();
  const { plugin, ends } = slowPlugin();
  const plugins = [fakePlugin(host), plugin];
  const first = fakeDaemon(host, { plugins }).vmService;
  const vm = await first.launch({}, fakeOperation());
  host.killDaemons();
  host.calls.expect();
  const settings = { reconcileTimeoutMs: 20 };
  const { vmService } = fakeDaemon(host, { plugins, settings });
  return { host, vm, ends, vmService };
}

it("ends a cleanup that is given up on, and begins no other plugin's", async () => {
  const { host, vm, ends, vmService } = await succession();
  host.vmm.end(vm.id);
  const report = await vmService.reconcile(fakeOperation());
  const text = `looking at ${vm.name} did not end within 0.02 s`;
  expect(report.problems).toContainEqual({ vm: vm.name, text });
  expect(ends).toEqual(["cleanup"]);
  // The slow one is asked first.
  expect(host.calls.log.join()).not.toContain("fake cleanup");
  expect((await vmService.get(vm.id)).runtime.prepared).toBe(true);
});

it("does not take a change for taken back whose plugin was given up on", async () => {
  const { host, vm, ends, vmService } = await succession();
  await host.vmStore.update(vm.id, ({ runtime, spec }) => ({
    runtime: { ...runtime, changing: { ...spec, nat: true } },
  }));
  await vmService.reconcile(fakeOperation());
  expect(ends).toEqual(["configChange"]);
  expect((await vmService.get(vm.id)).runtime.changing).toBeDefined();
});
