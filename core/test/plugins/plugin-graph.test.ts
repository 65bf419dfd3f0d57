import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { orderPlugins, type PluginManifest } from "@banger/core";
import { manifestOf } from "./samples.js";

const install = (...manifests: PluginManifest[]) =>
  new Map(manifests.map((manifest) => [manifest.id, manifest]));

describe("orderPlugins", () => {
  it("keeps the given order where nothing else is asked", () => {
    const installed = install(...["c", "a", "b"].map((id) => manifestOf(id)));
    expect(orderPlugins(["b", "c", "a", "b"], installed)).toEqual([
      "b",
      "c",
      "a",
    ]);
    expect(orderPlugins([], installed)).toEqual([]);
  });

  it("puts what a plugin requires or comes after before it", () => {
    const installed = install(
      manifestOf("sync", { requires: ["disk"], after: ["dns"] }),
      manifestOf("disk"),
      manifestOf("dns"),
    );
    expect(orderPlugins(["sync", "dns", "disk"], installed)).toEqual([
      "disk",
      "dns",
      "sync",
    ]);
    expect(orderPlugins(["sync", "disk"], installed)).toEqual(["disk", "sync"]);
  });

  it("suggests for an id that is not installed", () => {
    expect(() => orderPlugins(["dsn"], install(manifestOf("dns")))).toThrow(
      expect.objectContaining({
        code: "ERR_PLUGIN_NOT_FOUND",
        hint: "Did you mean dns?",
      }),
    );
  });

  it("names both of a requirement that is not enabled", () => {
    const installed = install(
      manifestOf("sync", { requires: ["disk"] }),
      manifestOf("disk"),
    );
    expect(() => orderPlugins(["sync"], installed)).toThrow(
      expect.objectContaining({
        code: "ERR_PLUGIN_ORDER",
        message: "plugin sync requires disk, which is not enabled",
      }),
    );
  });

  it("refuses an `after` that names nobody", () => {
    const installed = install(
      manifestOf("sync", { after: ["dsn"] }),
      manifestOf("dns"),
    );
    expect(() => orderPlugins(["sync"], installed)).toThrow(
      expect.objectContaining({
        code: "ERR_PLUGIN_ORDER",
        hint: "Did you mean dns?",
      }),
    );
  });

  it.each([
    [["a"], "a → a"],
    [["a", "b", "c"], "a → b → c → a"],
  ])("shows the whole cycle of %j", (ids, cycle) => {
    const installed = install(
      ...ids.map((id, i) =>
        manifestOf(id, { requires: [ids[(i + 1) % ids.length] ?? id] }),
      ),
    );
    expect(() => orderPlugins(ids, installed)).toThrow(
      expect.objectContaining({
        code: "ERR_PLUGIN_ORDER",
        message: expect.stringContaining(cycle) as string,
      }),
    );
  });

  it("orders any graph without cycles: all of them, each once, after what it waits for", () => {
    const edge = fc.tuple(fc.nat(9), fc.nat(9), fc.boolean());
    fc.assert(
      fc.property(
        fc.array(edge, { maxLength: 30 }),
        fc.shuffledSubarray([...Array(10).keys()], { minLength: 10 }),
        (edges, shuffled) => {
          const name = (n: number) => `p${n}`;
          const waits = (n: number, strong: boolean) =>
            edges
              // From a higher number to a lower one only: no cycles.
              .filter(
                ([a, b, s]) => Math.max(a, b) === n && a !== b && s === strong,
              )
              .map(([a, b]) => name(Math.min(a, b)));
          const manifests = shuffled.map((n) =>
            manifestOf(name(n), {
              requires: waits(n, true),
              after: waits(n, false),
            }),
          );
          const ids = shuffled.map(name);
          const ordered = orderPlugins(ids, install(...manifests));
          expect([...ordered].sort()).toEqual([...ids].sort());
          for (const { id, requires, after } of manifests)
            for (const earlier of [...requires, ...after])
              expect(ordered.indexOf(earlier)).toBeLessThan(
                ordered.indexOf(id),
              );
        },
      ),
    );
  });
});
