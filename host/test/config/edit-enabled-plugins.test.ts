import {
  lstat,
  readFile,
  readdir,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { parse } from "smol-toml";
import { describe, expect, it } from "vitest";
import { setPluginEnabled } from "../../src/config/edit-enabled-plugins.js";
import { temporaryDirectory } from "../files/temporary-directory.js";

async function edit(
  before: string,
  id: string,
  enabled: boolean,
): Promise<string> {
  const file = join(await temporaryDirectory(), "config.toml");
  await writeFile(file, before);
  await setPluginEnabled({ file, id, enabled });
  return readFile(file, "utf8");
}

describe("setPluginEnabled adds", () => {
  it.each([
    [
      "to one line",
      '[plugins]\nenabled = ["a", "b"] # mine\n',
      '[plugins]\nenabled = ["a", "b", "x"] # mine\n',
    ],
    [
      "after a trailing comma",
      'plugins.enabled = ["a",]\n',
      'plugins.enabled = ["a", "x",]\n',
    ],
    [
      "to an empty list",
      "[plugins]\nenabled = []\n",
      '[plugins]\nenabled = ["x"]\n',
    ],
    [
      "to a list with only a comment",
      "[plugins]\nenabled = [ # none\n]\n",
      '[plugins]\nenabled = ["x" # none\n]\n',
    ],
    [
      "a line with the same indent, after a comment",
      '[plugins]\nenabled = [\n\t"a", # first\n\t"b" # "last", ]\n\t# end\n]\nother = 1\n',
      '[plugins]\nenabled = [\n\t"a", # first\n\t"b", # "last", ]\n\t"x"\n\t# end\n]\nother = 1\n',
    ],
    [
      "a line with a comma where lines have one",
      "[plugins]\r\nenabled = [\r\n  'a',\r\n]\r\n",
      "[plugins]\r\nenabled = [\r\n  'a',\r\n  \"x\",\r\n]\r\n",
    ],
    [
      "into an inline table",
      'plugins = { enabled = ["a"], nat = { v = 1 } }\n',
      'plugins = { enabled = ["a", "x"], nat = { v = 1 } }\n',
    ],
    [
      "not to a list of the same name elsewhere",
      '[other]\nenabled = ["a"]\n[plugins.nat]\nenabled = ["a"]\n[plugins]\nenabled = ["b"]\n',
      '[other]\nenabled = ["a"]\n[plugins.nat]\nenabled = ["a"]\n[plugins]\nenabled = ["b", "x"]\n',
    ],
    [
      "not inside a string",
      `doc = """\n[plugins]\nenabled = ["a"]\n"""\n[plugins]\nenabled = []`,
      `doc = """\n[plugins]\nenabled = ["a"]\n"""\n[plugins]\nenabled = ["x"]`,
    ],
  ])("%s", async (_what, before, after) => {
    expect(await edit(before, "x", true)).toBe(after);
  });

  const all = '["work-disk", "file-sync", "dns", "nat", "x"]';
  it.each([
    [
      "the key to a table",
      "[plugins] # mine\n\n[vmm]\n",
      `[plugins] # mine\nenabled = ${all}\n\n[vmm]\n`,
    ],
    [
      "the key to a table that ends the file",
      "[plugins]",
      `[plugins]\nenabled = ${all}\n`,
    ],
    [
      "the table to a file",
      'log_level = "info"',
      `log_level = "info"\n\n[plugins]\nenabled = ${all}\n`,
    ],
    [
      "the table beside sections",
      "[plugins.nat]\nv = 1\n",
      `[plugins.nat]\nv = 1\n\n[plugins]\nenabled = ${all}\n`,
    ],
    ["everything to an empty file", "", `[plugins]\nenabled = ${all}\n`],
  ])("%s", async (_what, before, after) => {
    expect(await edit(before, "x", true)).toBe(after);
  });
});

describe("setPluginEnabled removes", () => {
  it.each([
    [
      "the first of a line",
      'plugins.enabled = ["x", "a"]\n',
      'plugins.enabled = ["a"]\n',
    ],
    [
      "one between",
      "plugins.enabled = ['a', 'x', 'b']\n",
      "plugins.enabled = ['a', 'b']\n",
    ],
    [
      "the last of a line",
      'plugins.enabled = ["a", "x"]\n',
      'plugins.enabled = ["a"]\n',
    ],
    ["the only one", 'plugins.enabled = [ "x", ]\n', "plugins.enabled = [ ]\n"],
    [
      "its line with its comment, and no other",
      '[plugins]\nenabled = [\n  "a", # a\n  # about b\n  "x", # why x\n  "b"\n]\n',
      '[plugins]\nenabled = [\n  "a", # a\n  # about b\n  "b"\n]\n',
    ],
    [
      "the last line",
      '[plugins]\nenabled = [\n  "a",\n  "x"\n]\n',
      '[plugins]\nenabled = [\n  "a",\n]\n',
    ],
    [
      "the last, whose line ends the list",
      '[plugins]\nenabled = ["a", # a\n  "x"]\n',
      '[plugins]\nenabled = ["a", # a\n  ]\n',
    ],
    [
      "from the default list",
      "",
      '[plugins]\nenabled = ["work-disk", "file-sync", "dns"]\n',
      "nat",
    ],
  ])("%s", async (_what, before, after, id = "x") => {
    expect(await edit(before, id, false)).toBe(after);
  });
});

describe("setPluginEnabled", () => {
  it("writes nothing when nothing changes", async () => {
    const directory = await temporaryDirectory();
    const file = join(directory, "config.toml");
    expect(
      await setPluginEnabled({ file, id: "nat", enabled: true }),
    ).toMatchObject({ changed: false });
    expect(await readdir(directory)).toEqual([]);
  });

  it("makes file and directory, for the owner alone", async () => {
    const file = join(await temporaryDirectory(), "new", "config.toml");
    expect(await setPluginEnabled({ file, id: "x", enabled: true })).toEqual({
      list: ["work-disk", "file-sync", "dns", "nat", "x"],
      changed: true,
    });
    expect((await stat(file)).mode & 0o777).toBe(0o600);
  });

  it("keeps a link to the file", async () => {
    const directory = await temporaryDirectory();
    const [file, target] = [join(directory, "link"), join(directory, "real")];
    await writeFile(target, "");
    await symlink(target, file);
    await setPluginEnabled({ file, id: "x", enabled: true });
    expect((await lstat(file)).isSymbolicLink()).toBe(true);
    expect(await readFile(target, "utf8")).toContain('"x"');
  });

  it.each([
    ["a table that cannot be opened again", "plugins.nat.v = 1\n[vmm]\n"],
    ["an inline table without the key", "plugins = {}\n"],
    [
      "a list with commas at the start of lines",
      'plugins.enabled = [\n  "x"\n  , "a"\n]\n',
    ],
    ["an element with escapes", '[plugins]\nenabled = ["\\u0078"]\n'],
  ])("refuses %s, and touches nothing", async (_what, before) => {
    const file = join(await temporaryDirectory(), "config.toml");
    await writeFile(file, before);
    const enabled = !before.includes("enabled");
    await expect(
      setPluginEnabled({ file, id: "x", enabled }),
    ).rejects.toMatchObject({
      code: "ERR_CONFIG_EDIT",
      hint: expect.stringContaining("enabled = [") as string,
    });
    expect(await readFile(file, "utf8")).toBe(before);
  });

  it("refuses what is no id, no list and no TOML", async () => {
    const file = join(await temporaryDirectory(), "config.toml");
    const set = (id = "x") => setPluginEnabled({ file, id, enabled: true });
    await expect(set('x"]')).rejects.toMatchObject({
      code: "ERR_CONFIG_INVALID",
    });
    await writeFile(file, '[plugins]\nenabled = "x"\n');
    await expect(set()).rejects.toMatchObject({ code: "ERR_CONFIG_INVALID" });
    await writeFile(file, "[plugins\n");
    await expect(set()).rejects.toMatchObject({ code: "ERR_CONFIG_SYNTAX" });
  });

  it("comes back to the same list from any layout", async () => {
    const layouts = [
      '[plugins]\nenabled = ["a","b"]\n',
      '[plugins]\nenabled = [\n"a",\n"b",\n]\n',
      '[plugins]\nenabled = [ "a",\n  "b" # c\n]\n',
      '[plugins]\nenabled = ["a", "b", # c\n]\n',
    ];
    for (const layout of layouts) {
      const added = await edit(layout, "x", true);
      expect(parse(added)).toEqual({ plugins: { enabled: ["a", "b", "x"] } });
      for (const id of ["a", "b", "x"]) {
        const rest = ["a", "b", "x"].filter((entry) => entry !== id);
        expect(parse(await edit(added, id, false))).toEqual({
          plugins: { enabled: rest },
        });
      }
      expect(added.match(/# c/g)).toEqual(layout.match(/# c/g));
    }
  });
});
