import { describe, expect, it } from "vitest";
import {
  composeHooks,
  definePlugin,
  PluginSet,
  Stage,
  type Hooks,
} from "@banger/core";
import {
  fakeImage,
  fakeOperation,
  fakeVm,
  FakeVmStore,
} from "@banger/core/testing";

const vm = fakeVm();

type Taps = Readonly<Record<string, (hooks: Hooks) => void>>;

function compose(taps: Taps, installed: readonly string[] = []): PluginSet {
  const plugins = Object.entries(taps).map(([id, apply]) => ({
    plugin: definePlugin({ id, apply }),
    services: {},
  }));
  const hooks = composeHooks(plugins, installed);
  return new PluginSet(Object.keys(taps), hooks, new FakeVmStore([vm]));
}

const prepare = (set: PluginSet) =>
  set.prepareHost(vm, fakeImage(), fakeOperation());

describe("taps", () => {
  it("come in every style, and each is waited for", async () => {
    const log: string[] = [];
    const set = compose({
      a: (hooks) => hooks.prepareHost.tap("a", () => void log.push("tap")),
      b: (hooks) =>
        hooks.prepareHost.tapAsync("b", (_context, done) => {
          setImmediate(() => {
            log.push("tapAsync");
            done();
          });
        }),
      c: (hooks) =>
        hooks.prepareHost.tapPromise("c", async () => {
          await Promise.resolve();
          log.push("tapPromise");
        }),
    });
    await prepare(set);
    expect(log).toEqual(["tap", "tapAsync", "tapPromise"]);
  });

  it("fail in every style under their plugin's name", async () => {
    const failing: Taps = {
      a: (hooks) =>
        hooks.prepareHost.tap("a", () => {
          throw new Error("no");
        }),
      b: (hooks) =>
        hooks.prepareHost.tapAsync("b", (_context, done) =>
          done(new Error("no")),
        ),
      c: (hooks) =>
        hooks.prepareHost.tapPromise("c", () =>
          Promise.reject(new Error("no")),
        ),
      d: (hooks) =>
        hooks.prepareHost.tapPromise("d", () => {
          throw new Error("no");
        }),
    };
    for (const [id, apply] of Object.entries(failing))
      await expect(prepare(compose({ [id]: apply }))).rejects.toMatchObject({
        plugin: id,
        message: `plugin ${id}, prepareHost: no`,
      });
  });

  it("pass a value through tapAsync of a waterfall", async () => {
    const set = compose({
      a: (hooks) =>
        hooks.machineConfig.tapAsync("a", (machine, _context, done) =>
          done(null, { ...machine, kernelArgs: { quiet: true } }),
        ),
    });
    const empty = {
      vcpus: 1,
      memoryMiB: 128,
      drives: {},
      nics: {},
      egress: {},
      kernelArgs: {},
      channels: {},
    };
    expect(
      await set.machineConfig(empty, vm, fakeImage(), fakeOperation()),
    ).toEqual({ ...empty, kernelArgs: { quiet: true } });
  });

  it("belong to their plugin, by id or id:detail", () => {
    const tapAs = (name: string) => () =>
      compose({ nat: (hooks) => hooks.prepareHost.tap(name, () => undefined) });
    expect(tapAs("nat:rules")).not.toThrow();
    for (const name of ["dns", "nats", "natty:x", ""])
      expect(tapAs(name)).toThrow(
        expect.objectContaining({ code: "ERR_PLUGIN_LOAD" }),
      );
  });

  it("may be before somebody who is installed, not before nobody", () => {
    const before = (name: string, installed: readonly string[]) => () =>
      compose(
        {
          nat: (hooks) =>
            hooks.postStart.tap({ name: "nat", before: name }, () => undefined),
        },
        installed,
      );
    expect(before("dns", ["dns"])).not.toThrow();
    expect(before("dsn", ["dns"])).toThrow(
      expect.objectContaining({
        code: "ERR_PLUGIN_LOAD",
        message: expect.stringContaining("before dsn") as string,
      }),
    );
  });

  it("must be there when apply() returns", () => {
    const plugin = definePlugin({ id: "nat", apply: () => undefined });
    const late = { ...plugin, apply: () => Promise.resolve() };
    expect(() => composeHooks([{ plugin: late, services: {} }], [])).toThrow(
      expect.objectContaining({
        message: expect.stringContaining("apply() is async") as string,
      }),
    );
  });

  it("say whose apply() failed, and why", () => {
    const load = () =>
      compose({
        nat: () => {
          throw new Error("boom");
        },
      });
    expect(load).toThrow(
      expect.objectContaining({
        code: "ERR_PLUGIN_LOAD",
        message: "plugin nat cannot be loaded: its apply() failed",
        cause: expect.objectContaining({ message: "boom" }) as Error,
      }),
    );
  });
});

describe("order", () => {
  const logging =
    (log: string[], id: string, stages: readonly (number | undefined)[]) =>
    (hooks: Hooks): void => {
      for (const [i, stage] of stages.entries()) {
        const name = `${id}:${i}`;
        const options = stage === undefined ? { name } : { name, stage };
        hooks.prepareHost.tap(options, () => void log.push(name));
        hooks.cleanup.tap(options, () => void log.push(name));
      }
    };

  it("is by stage, then by plugin; cleanup is its mirror", async () => {
    const log: string[] = [];
    const set = compose({
      a: logging(log, "a", [Stage.services, Stage.disks, undefined]),
      b: logging(log, "b", [Stage.disks, Stage.disks, Stage.network]),
      c: logging(log, "c", [Stage.services, -5]),
    });
    await prepare(set);
    const prepared = log.splice(0);
    expect(prepared).toEqual([
      "c:1",
      "a:2",
      "a:1",
      "b:0",
      "b:1",
      "b:2",
      "a:0",
      "c:0",
    ]);
    expect(await set.cleanup(vm, undefined, "stop", fakeOperation())).toEqual(
      [],
    );
    expect(log).toEqual(prepared.reverse());
  });

  it("lets `before` go first within the hook", async () => {
    const log: string[] = [];
    const set = compose({
      a: (hooks) => hooks.prepareHost.tap("a", () => void log.push("a")),
      b: (hooks) =>
        hooks.prepareHost.tap(
          { name: "b", before: "a" },
          () => void log.push("b"),
        ),
    });
    await prepare(set);
    expect(log).toEqual(["b", "a"]);
  });

  it("lets `before` mean any tap of a plugin, also one that is applied later", async () => {
    const log: string[] = [];
    const set = compose({
      late: (hooks) =>
        hooks.prepareHost.tap(
          { name: "late", stage: 300, before: "dns" },
          () => void log.push("late"),
        ),
      first: (hooks) =>
        hooks.prepareHost.tap(
          { name: "first", stage: 100 },
          () => void log.push("first"),
        ),
      dns: (hooks) =>
        hooks.prepareHost.tap(
          { name: "dns:publish", stage: 200 },
          () => void log.push("dns"),
        ),
    });
    await prepare(set);
    expect(log).toEqual(["first", "late", "dns"]);
  });

  it("keeps its stage when the plugin that it wants to be before is not in the set", async () => {
    const log: string[] = [];
    const set = compose(
      {
        disk: (hooks) =>
          hooks.prepareHost.tap(
            { name: "disk", stage: 100 },
            () => void log.push("disk"),
          ),
        late: (hooks) =>
          hooks.prepareHost.tap(
            { name: "late", stage: 300, before: "nat" },
            () => void log.push("late"),
          ),
      },
      ["nat"],
    );
    await prepare(set);
    expect(log).toEqual(["disk", "late"]);
  });
});

describe("cleanup", () => {
  it("runs every tap whatever the others do, and returns what failed", async () => {
    const log: string[] = [];
    const failing = (id: string) => (hooks: Hooks) =>
      hooks.cleanup.tapPromise(id, async ({ reason }) => {
        log.push(`${id} ${reason}`);
        throw new Error(`no ${id}`);
      });
    const set = compose({ a: failing("a"), b: failing("b"), c: failing("c") });
    const faults = await set.cleanup(vm, undefined, "delete", fakeOperation());
    expect(log).toEqual(["c delete", "b delete", "a delete"]);
    expect(faults.map(({ plugin, message }) => `${plugin}|${message}`)).toEqual(
      [
        "c|plugin c, cleanup: no c",
        "b|plugin b, cleanup: no b",
        "a|plugin a, cleanup: no a",
      ],
    );
  });
});
