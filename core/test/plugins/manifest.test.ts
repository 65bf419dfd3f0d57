import { describe, expect, it } from "vitest";
import { parsePluginManifest } from "@banger/core";

const good = { kind: "plugin", id: "nat", apiVersion: 1 };
const parse = (banger: unknown) =>
  parsePluginManifest("pkg", { name: "pkg", version: "1.0.0", banger });

describe("parsePluginManifest", () => {
  it("fills what may be left out", () => {
    expect(parse(good)).toEqual({ ...good, requires: [], after: [] });
    const full = { ...good, requires: ["a"], after: ["b"], configKey: "nat" };
    expect(parse(full)).toEqual(full);
  });

  it.each<[string, unknown]>([
    ["another kind", { ...good, kind: "theme" }],
    ["an API of another time", { ...good, apiVersion: 2 }],
    ["a version as text", { ...good, apiVersion: "1" }],
    ["an id with a path", { ...good, id: "../nat" }],
    ["an id in capitals", { ...good, id: "NAT" }],
    ["an id that is too long", { ...good, id: "x".repeat(33) }],
    ["an unknown key", { ...good, requiers: [] }],
    ["a reserved section", { ...good, configKey: "enabled" }],
    ["requires that is no list", { ...good, requires: "dns" }],
    ["no object", "nat"],
    ["null", null],
  ])("refuses %s, and names the package", (_what, banger) => {
    expect(() => parse(banger)).toThrow(
      expect.objectContaining({
        code: "ERR_PLUGIN_MANIFEST",
        message: expect.stringContaining("pkg") as string,
      }),
    );
  });

  it.each([{}, null, "text", [], undefined])(
    "refuses a package.json without the key: %j",
    (packageJson) =>
      expect(() => parsePluginManifest("pkg", packageJson)).toThrow(
        'no "banger" key',
      ),
  );
});
