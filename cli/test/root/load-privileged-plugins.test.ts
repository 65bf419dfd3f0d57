import { chmod, chown, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { memoryLogger } from "@banger/core/testing";
import { describe, expect, it } from "vitest";
import { loadPrivilegedPlugins } from "../../src/root/load-privileged-plugins.js";
import { temporaryDirectory } from "../temporary-directory.js";

const isRoot = process.getuid?.() === 0;
const foreignId = 65533;

/** Installs a plugin that says on its import that its code runs. @returns its directory */
async function install(place: string, id: string): Promise<string> {
  const directory = join(place, "node_modules", `plugin-${id}`);
  await mkdir(directory, { recursive: true });
  await writeFile(
    join(directory, "package.json"),
    JSON.stringify({
      name: `plugin-${id}`,
      type: "module",
      exports: { ".": "./index.js", "./package.json": "./package.json" },
      banger: { kind: "plugin", id, apiVersion: 1 },
    }),
  );
  await writeFile(
    join(directory, "index.js"),
    `globalThis.ran ??= []; globalThis.ran.push(import.meta.dirname);
    export const plugin = { id: "${id}", apply() {}, privileged: [] };`,
  );
  return directory;
}

function hasRun(directory: string): boolean {
  const { ran = [] } = globalThis as { ran?: readonly string[] };
  return ran.includes(directory);
}

async function load(place: string, packages: readonly string[]) {
  const logger = memoryLogger();
  const roots = { from: [join(place, "package.json")] };
  const plugins = await loadPrivilegedPlugins(packages, roots, logger);
  return { ids: plugins.map(({ id }) => id), log: logger.entries };
}

describe.runIf(isRoot)("plugins of the root helper", () => {
  it("are those of root's list", async () => {
    const place = await temporaryDirectory();
    const directory = await install(place, "one");
    const unlisted = await install(place, "two");
    expect(await load(place, ["plugin-one"])).toEqual({
      ids: ["one"],
      log: [],
    });
    expect(hasRun(directory)).toBe(true);
    expect(hasRun(unlisted)).toBe(false);
  });

  const spoilt: readonly {
    what: string;
    spoil: (directory: string, place: string) => Promise<unknown>;
  }[] = [
    {
      what: "may be written by others",
      spoil: (directory) => chmod(directory, 0o777),
    },
    {
      what: "holds a file of somebody's",
      spoil: (directory) => chown(join(directory, "index.js"), foreignId, 0),
    },
    {
      what: "is below a directory of somebody's",
      spoil: (_, place) => chown(place, foreignId, foreignId),
    },
    {
      what: "is beside a package of somebody's, which it may import",
      spoil: async (_, place) => {
        const other = join(place, "node_modules/dependency");
        await mkdir(other);
        await chown(other, foreignId, foreignId);
      },
    },
  ];

  it.each(spoilt)(
    "are left out without being run: one that $what",
    async ({ spoil }) => {
      const place = await temporaryDirectory();
      const directory = await install(place, "one");
      await spoil(directory, place);
      const { ids, log } = await load(place, ["plugin-one"]);
      expect(ids).toEqual([]);
      expect(log).toMatchObject([
        {
          level: "error",
          fields: {
            package: "plugin-one",
            error: { code: "ERR_NOT_ROOT_OWNED" },
          },
        },
      ]);
      expect(hasRun(directory)).toBe(false);
    },
  );

  it("are looked at where a link leads", async () => {
    const place = await temporaryDirectory();
    const elsewhere = await temporaryDirectory();
    const directory = await install(elsewhere, "one");
    await chown(elsewhere, foreignId, foreignId);
    await mkdir(join(place, "node_modules"));
    await symlink(directory, join(place, "node_modules/plugin-one"));
    const { ids, log } = await load(place, ["plugin-one"]);
    expect(ids).toEqual([]);
    expect(log).toHaveLength(1);
    expect(hasRun(directory)).toBe(false);
  });

  it("do not keep each other from being loaded", async () => {
    const place = await temporaryDirectory();
    await install(place, "one");
    const broken = await install(place, "broken");
    await writeFile(join(broken, "index.js"), "throw new Error('broken');");
    const { ids, log } = await load(place, [
      "plugin-absent",
      "plugin-broken",
      "plugin-one",
    ]);
    expect(ids).toEqual(["one"]);
    expect(log.map(({ fields }) => fields["package"])).toEqual([
      "plugin-absent",
      "plugin-broken",
    ]);
  });
});
