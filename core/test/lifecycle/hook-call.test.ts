import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  composeHooks,
  definePlugin,
  hookLimitsMs,
  PluginSet,
  type GuestContext,
  type VmContext,
} from "@banger/core";
import {
  fakeImage,
  fakeOperation,
  fakeVm,
  FakeVmStore,
  type FakeOperation,
} from "@banger/core/testing";

const vm = fakeVm();
const graceMs = 5_000;
const never = () => new Promise<void>(() => undefined);

type Work = (context: VmContext) => Promise<void>;

function setOf(taps: Readonly<Record<string, Work>>): PluginSet {
  const plugins = Object.entries(taps).map(([id, work]) => ({
    plugin: definePlugin({
      id,
      apply: (hooks) => hooks.prepareHost.tapPromise(id, work),
    }),
    services: {},
  }));
  const ids = Object.keys(taps);
  return new PluginSet(ids, composeHooks(plugins, ids), new FakeVmStore([vm]));
}

const prepare = (
  work: Work,
  operation: FakeOperation = fakeOperation(),
): Promise<unknown> => {
  const set = setOf({ slow: work });
  return set.prepareHost(vm, fakeImage(), operation).then(
    () => "done",
    (error: unknown) => error,
  );
};

describe("a call of a tap", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it("gives each tap a context of its own: plugin on the log, no state shared", async () => {
    const contexts: VmContext[] = [];
    const operation = fakeOperation();
    const work: Work = async (context) => {
      contexts.push(context);
      context.logger.info("Here");
      context.progress("prepare", "on it");
    };
    const set = setOf({ one: work, two: work });
    await set.prepareHost(vm, fakeImage(), operation);
    expect(contexts[0]).not.toBe(contexts[1]);
    expect(operation.logger.entries.map(({ fields }) => fields)).toEqual([
      { operation: "op-00000000", plugin: "one", vmId: vm.id },
      { operation: "op-00000000", plugin: "two", vmId: vm.id },
    ]);
    expect(operation.stages).toEqual(["prepare: on it", "prepare: on it"]);
    expect(operation.timeline.entries()).toMatchObject([
      { kind: "hook", name: "one prepareHost" },
      { kind: "hook", name: "two prepareHost" },
    ]);
  });

  it("stops at the first throw, and keeps code and hint of a known error", async () => {
    let later = false;
    const set = setOf({
      one: () => Promise.reject(new Error("no disk")),
      two: async () => void (later = true),
    });
    const operation = fakeOperation();
    await expect(
      set.prepareHost(vm, fakeImage(), operation),
    ).rejects.toMatchObject({
      code: "ERR_PLUGIN_FAULT",
      plugin: "one",
      hook: "prepareHost",
      message: "plugin one, prepareHost: no disk",
    });
    expect(later).toBe(false);
    expect(operation.timeline.entries()).toMatchObject([{ failed: true }]);
  });

  it("aborts a tap at its time limit, and waits for its end before it names it", async () => {
    let settled = false;
    let ended = false;
    const outcome = prepare(
      ({ signal }) =>
        new Promise((_, reject) => {
          signal.addEventListener("abort", () => {
            setTimeout(() => {
              ended = true;
              reject(new Error("killed"));
            }, 1_000);
          });
        }),
    ).finally(() => (settled = true));
    await vi.advanceTimersByTimeAsync(hookLimitsMs.prepareHost - 1);
    expect(settled).toBe(false);
    await vi.advanceTimersByTimeAsync(500);
    expect(settled).toBe(false);
    await vi.advanceTimersByTimeAsync(600);
    expect(ended).toBe(true);
    expect(await outcome).toMatchObject({
      code: "ERR_HOOK_TIMEOUT",
      plugin: "slow",
      hint: "Start without it: --no-plugin slow",
    });
  });

  it("gives up on a tap that ignores its time limit", async () => {
    const outcome = prepare(never);
    await vi.advanceTimersByTimeAsync(hookLimitsMs.prepareHost + graceMs);
    expect(await outcome).toMatchObject({ code: "ERR_HOOK_TIMEOUT" });
    expect(vi.getTimerCount()).toBe(0);
  });

  it("does not take what an aborted tap returns for its work", async () => {
    const outcome = prepare(
      ({ signal }) =>
        new Promise((resolve) =>
          signal.addEventListener("abort", () => resolve()),
        ),
    );
    await vi.advanceTimersByTimeAsync(hookLimitsMs.prepareHost);
    expect(await outcome).toMatchObject({ code: "ERR_HOOK_TIMEOUT" });
  });

  it("gives up on a tap that ignores a cancel, after its grace", async () => {
    const aborts = new AbortController();
    let settled = false;
    const outcome = prepare(never, fakeOperation(aborts.signal)).finally(
      () => (settled = true),
    );
    await vi.advanceTimersByTimeAsync(10);
    aborts.abort();
    await vi.advanceTimersByTimeAsync(graceMs - 1);
    expect(settled).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(await outcome).toMatchObject({
      code: "ERR_CANCELLED",
      kind: "cancelled",
    });
    expect(vi.getTimerCount()).toBe(0);
  });

  it("gives up on a tap that begins after a cancel and ignores it", async () => {
    const outcome = prepare(never, fakeOperation(AbortSignal.abort()));
    await vi.advanceTimersByTimeAsync(graceMs);
    expect(await outcome).toMatchObject({ code: "ERR_CANCELLED" });
  });

  it("leaves no timer and no listener behind a tap that ended", async () => {
    const aborts = new AbortController();
    const outcome = prepare(
      async () => undefined,
      fakeOperation(aborts.signal),
    );
    expect(await outcome).toBe("done");
    aborts.abort();
    expect(vi.getTimerCount()).toBe(0);
  });

  it("runs guest commands under the tap's own signal", async () => {
    const signals: AbortSignal[] = [];
    let context: GuestContext | undefined;
    const plugin = definePlugin({
      id: "one",
      apply: (hooks) =>
        hooks.postStart.tapPromise("one", async (given) => {
          context = given;
          await given.exec({ argv: ["true"] });
        }),
    });
    const hooks = composeHooks([{ plugin, services: {} }], []);
    await new PluginSet(["one"], hooks, new FakeVmStore([vm])).postStart(
      vm,
      fakeImage(),
      async (_command, signal) => (signals.push(signal), {} as never),
      fakeOperation(),
    );
    expect(signals).toEqual([context?.signal]);
  });
});
