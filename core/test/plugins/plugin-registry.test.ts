import { describe, expect, it } from "vitest";
import {
  definePlugin,
  PluginOrderError,
  PluginRegistry,
  type Plugin,
} from "@banger/core";
import { fakeOperation, FakeVmStore, fakeVm } from "@banger/core/testing";
import { installedAs, manifestOf, someServices } from "./samples.js";

function bench(plugins: Readonly<Record<string, () => Promise<Plugin>>>) {
  const imports: string[] = [];
  const registry = new PluginRegistry({
    installed: Object.keys(plugins).map((id) => installedAs(manifestOf(id))),
    importPlugin: async ({ manifest: { id } }) => {
      imports.push(id);
      return plugins[id]!();
    },
    readConfig: (_installed, plugin) => plugin.config.parse({}),
    services: someServices(),
    vmStore: new FakeVmStore(),
  });
  return { imports, registry };
}

const plain = (id: string) => async () =>
  definePlugin({ id, apply: () => undefined });

describe("PluginRegistry", () => {
  it("imports code only when a set needs it, and once", async () => {
    const { imports, registry } = bench({ a: plain("a"), b: plain("b") });
    expect(registry.installed).toHaveLength(2);
    expect(imports).toEqual([]);
    const [one, two] = await Promise.all([
      registry.select(["a"]),
      registry.select(["a"]),
    ]);
    expect(one).toBe(two);
    const both = await registry.select(["a", "b"]);
    expect(both).not.toBe(one);
    expect(both.ids).toEqual(["a", "b"]);
    expect(imports).toEqual(["a", "b"]);
  });

  it("selects what can be loaded for a cleanup, and names the rest", async () => {
    const cleaned: string[] = [];
    const { registry } = bench({
      good: async () =>
        definePlugin({
          id: "good",
          apply: (hooks) => {
            hooks.cleanup.tap("good", () => {
              cleaned.push("good");
            });
          },
        }),
      broken: () =>
        Promise.reject(
          new PluginOrderError("no such file", { hint: "install it" }),
        ),
      clumsy: async () =>
        definePlugin({
          id: "clumsy",
          apply: () => {
            throw new Error("boom");
          },
        }),
    });
    const ids = ["gone", "broken", "good", "clumsy"];
    const { set, failures } = await registry.selectLoadable(ids);
    expect(set.ids).toEqual(["good"]);
    expect(failures.map(({ id }) => id)).toEqual(["gone", "broken", "clumsy"]);
    expect(failures[1]?.hint).toBe("install it");
    await set.cleanup(fakeVm(), undefined, "delete", fakeOperation());
    expect(cleaned).toEqual(["good"]);
  });

  it("applies a plugin for every set, with the same services", async () => {
    const seen: unknown[] = [];
    const own = async () =>
      definePlugin({
        id: "own",
        provide: { thing: { make: () => ({}) } },
        apply: (_hooks, { thing }) => void seen.push(thing),
      });
    const { registry } = bench({ own, a: plain("a") });
    await registry.select(["own"]);
    await registry.select(["own", "a"]);
    expect(seen).toHaveLength(2);
    expect(seen[0]).toBe(seen[1]);
  });

  it("tries a failed load again", async () => {
    let broken = true;
    const { imports, registry } = bench({
      a: async () => {
        if (broken) throw new Error("syntax");
        return plain("a")();
      },
    });
    await expect(registry.select(["a"])).rejects.toThrow("syntax");
    broken = false;
    expect((await registry.select(["a"])).ids).toEqual(["a"]);
    expect(imports).toEqual(["a", "a"]);
  });

  it("refuses code that calls itself otherwise, and unknown plugins", async () => {
    const { registry } = bench({ nat: plain("nta") });
    await expect(registry.select(["nat"])).rejects.toMatchObject({
      code: "ERR_PLUGIN_LOAD",
    });
    await expect(registry.select(["nope"])).rejects.toMatchObject({
      code: "ERR_PLUGIN_NOT_FOUND",
    });
    expect(() => registry.get("nope")).toThrow("nope");
  });

  it("resolves additions and removals, without repeating", () => {
    const { registry } = bench({ a: plain("a"), b: plain("b"), c: plain("c") });
    expect(registry.resolve(["a", "b"], ["c", "a"], ["b"])).toEqual(["a", "c"]);
    expect(registry.resolve(["a"], [], ["c"])).toEqual(["a"]);
    expect(() => registry.resolve([], ["d"], [])).toThrow(
      expect.objectContaining({ code: "ERR_PLUGIN_NOT_FOUND" }),
    );
    expect(() => registry.resolve([], [], ["d"])).toThrow(
      expect.objectContaining({ code: "ERR_PLUGIN_NOT_FOUND" }),
    );
    expect(() => registry.resolve([], ["a"], ["a"])).toThrow(
      expect.objectContaining({ code: "ERR_PLUGIN_ORDER" }),
    );
  });

  it("disposes of own services, also when another plugin failed to load", async () => {
    let closed = 0;
    const own = async () =>
      definePlugin({
        id: "own",
        provide: {
          thing: { make: () => 1, dispose: () => ((closed += 1), undefined) },
        },
        apply: (_hooks, { thing }) => expect(thing).toBe(1),
      });
    const broken = () => Promise.reject(new Error("syntax"));
    const { registry } = bench({ own, broken });
    await registry.select(["own"]);
    await registry.select(["broken"]).catch(() => undefined);
    await registry.dispose();
    await registry.dispose();
    expect(closed).toBe(1);
  });
});
