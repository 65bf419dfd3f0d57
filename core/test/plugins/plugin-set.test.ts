import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  composeHooks,
  definePlugin,
  hookLimitsMs,
  PluginSet,
  type Hooks,
  type VmRecord,
} from "@banger/core";
import {
  fakeImage,
  fakeOperation,
  fakeVm,
  FakeVmStore,
} from "@banger/core/testing";

const vm = fakeVm();

function setOf(
  taps: Readonly<Record<string, (hooks: Hooks) => void>>,
  store = new FakeVmStore([vm]),
): PluginSet {
  const plugins = Object.entries(taps).map(([id, apply]) => ({
    plugin: definePlugin({ id, apply }),
    services: {},
  }));
  return new PluginSet(Object.keys(taps), composeHooks(plugins, []), store);
}

describe("preflight", () => {
  it("collects reports and throws of all", async () => {
    const set = setOf({
      a: (hooks) =>
        hooks.preflight.tap("a", ({ report }) => {
          report({ id: "a.1", severity: "warning", message: "one" });
          throw new Error("broken");
        }),
      b: (hooks) =>
        hooks.preflight.tapPromise("b", async ({ report }) =>
          report({ id: "b.1", severity: "error", message: "two", fix: "do" }),
        ),
    });
    expect(await set.preflight(vm, fakeImage(), fakeOperation())).toEqual([
      { id: "a.1", severity: "warning", message: "one" },
      {
        id: "a.preflight",
        severity: "error",
        message: "plugin a, preflight: broken",
        fix: "Look at the plugin's checks: banger doctor",
      },
      { id: "b.1", severity: "error", message: "two", fix: "do" },
    ]);
  });
});

describe("doctor", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it("tells the ids of all VMs to whoever looks for what is left", async () => {
    const seen: string[] = [];
    const set = setOf({
      a: (hooks) =>
        hooks.doctor.tapPromise("a", async ({ vmIds }) => {
          seen.push(...(await vmIds()));
        }),
    });
    const sections = set.doctor(fakeOperation());
    await vi.advanceTimersByTimeAsync(0);
    await sections;
    expect(seen).toEqual([vm.id]);
  });

  it("has a section for every plugin; a throw and a time-out are failed checks", async () => {
    const check = {
      id: "a.x",
      title: "x",
      status: "pass",
      detail: "",
    } as const;
    const set = setOf({
      a: (hooks) => hooks.doctor.tap("a", ({ report }) => report(check)),
      b: (hooks) =>
        hooks.doctor.tap("b", () => {
          throw new Error("broken");
        }),
      c: (hooks) =>
        hooks.doctor.tapPromise("c", () => new Promise(() => undefined)),
      d: () => undefined,
    });
    const sections = set.doctor(fakeOperation());
    await vi.advanceTimersByTimeAsync(hookLimitsMs.doctor + 5_000);
    const failed = { title: "checks of the plugin itself", status: "fail" };
    expect(await sections).toMatchObject([
      { section: "a", checks: [check] },
      {
        section: "b",
        checks: [
          { ...failed, id: "b.doctor", detail: "plugin b, doctor: broken" },
        ],
      },
      { section: "c", checks: [{ ...failed, id: "c.doctor" }] },
      { section: "d", checks: [] },
    ]);
  });
});

describe("configChange", () => {
  const after: VmRecord = { ...vm, spec: { ...vm.spec, nat: true } };
  const logging =
    (log: string[], id: string, fails?: (before: VmRecord) => boolean) =>
    (hooks: Hooks) =>
      hooks.configChange.tapPromise(
        id,
        async (before, next, { live, signal }) => {
          const arrow = `${before.spec.nat}->${next.spec.nat}`;
          log.push(`${id} ${arrow} ${live} ${signal.aborted}`);
          if (fails?.(before)) throw new Error(`${id} says no`);
        },
      );

  it("takes back what was agreed, newest first, with the arguments swapped", async () => {
    const log: string[] = [];
    const set = setOf({
      a: logging(log, "a"),
      b: logging(log, "b"),
      c: logging(log, "c", () => true),
      d: logging(log, "d"),
    });
    await expect(
      set.configChange(vm, after, true, fakeOperation()),
    ).rejects.toMatchObject({ plugin: "c", hook: "configChange" });
    expect(log).toEqual([
      "a false->true true false",
      "b false->true true false",
      "c false->true true false",
      "b true->false true false",
      "a true->false true false",
    ]);
  });

  it("goes on taking back after one that fails, keeps the refusal and logs the rest", async () => {
    const log: string[] = [];
    const operation = fakeOperation();
    const set = setOf({
      a: logging(log, "a"),
      b: logging(log, "b", (before) => before.spec.nat),
      c: logging(log, "c", () => true),
    });
    await expect(set.configChange(vm, after, false, operation)).rejects.toThrow(
      "c says no",
    );
    expect(log.at(-1)).toBe("a true->false false false");
    expect(operation.logger.entries).toMatchObject([
      { level: "error", fields: { error: { plugin: "b" } } },
    ]);
  });

  it("takes back without the abort that refused", async () => {
    const log: string[] = [];
    const aborts = new AbortController();
    const set = setOf({
      a: logging(log, "a"),
      b: logging(log, "b", () => (aborts.abort(), true)),
    });
    await expect(
      set.configChange(vm, after, true, fakeOperation(aborts.signal)),
    ).rejects.toThrow();
    expect(log.at(-1)).toBe("a true->false true false");
  });

  it("gives up on one that does not end while taking back", async () => {
    vi.useFakeTimers();
    try {
      const log: string[] = [];
      const set = setOf({
        a: logging(log, "a"),
        b: (hooks) =>
          hooks.configChange.tapPromise("b", async (before) => {
            if (before.spec.nat) await new Promise(() => undefined);
          }),
        c: logging(log, "c", () => true),
      });
      const refused = set
        .configChange(vm, after, true, fakeOperation())
        .catch((error: unknown) => error);
      await vi.advanceTimersByTimeAsync(hookLimitsMs.configChange + 5_000);
      expect(await refused).toMatchObject({ plugin: "c" });
      expect(log.at(-1)).toBe("a true->false true false");
    } finally {
      vi.useRealTimers();
    }
  });
});

describe("teardown", () => {
  it("saves and loads one value per plugin, from the store as it is", async () => {
    const store = new FakeVmStore([vm]);
    const loaded: unknown[] = [];
    const saving = (id: string) => (hooks: Hooks) => {
      hooks.prepareHost.tapPromise(id, ({ teardown }) =>
        teardown.save({ from: id }),
      );
      hooks.cleanup.tapPromise(id, async ({ teardown }) => {
        loaded.push(await teardown.load());
      });
    };
    const set = setOf(
      { a: saving("a"), b: saving("b"), c: () => undefined },
      store,
    );
    await set.prepareHost(vm, fakeImage(), fakeOperation());
    // With the record of before: the store knows better.
    await set.cleanup(vm, undefined, "stop", fakeOperation());
    expect(loaded).toEqual([{ from: "b" }, { from: "a" }]);
    expect((await store.find(vm.id))?.runtime.teardown).toEqual({
      a: { from: "a" },
      b: { from: "b" },
    });
  });
});
