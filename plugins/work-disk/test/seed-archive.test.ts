import { execFileSync } from "node:child_process";
import {
  link,
  symlink,
  mkdtemp,
  mkdir,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fakeImage } from "@banger/core/testing";
import { unpackSeed } from "../src/seed-archive.js";
import { SeedTree } from "../src/seed-tree.js";
import { seedTar, type Member } from "./seed-tar.js";

let directory = "";
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "banger-seed-"));
  await mkdir(`${directory}/root`);
  await mkdir(`${directory}/outside`);
});
afterEach(() => rm(directory, { recursive: true, force: true }));

async function unpackBytes(
  bytes: Uint8Array,
  mostBytes = 1000,
  signal = new AbortController().signal,
): Promise<string> {
  await writeFile(`${directory}/seed.tar`, bytes);
  const tree = new SeedTree(`${directory}/root`);
  await unpackSeed(
    fakeImage(),
    `${directory}/seed.tar`,
    tree,
    mostBytes,
    signal,
  );
  return `${directory}/root`;
}
const unpack = async (members: readonly Member[], mostBytes?: number) =>
  unpackBytes(await seedTar(members), mostBytes);

describe("unpackSeed", () => {
  it("unpacks files, directories and links with their modes", async () => {
    const root = await unpack([
      { name: "a/b/c", mode: 0o640, content: "deep" },
      { name: "d/", type: "directory", mode: 0o750 },
      { name: "l", type: "symlink", linkname: "../../etc" },
      { name: "h", type: "link", linkname: "./a/b/c" },
      { name: "a/b/c", mode: 0o600, content: "later" },
    ]);
    expect(await readFile(`${root}/a/b/c`, "utf8")).toBe("later");
    expect(await readFile(`${root}/h`, "utf8")).toBe("deep");
    expect((await stat(`${root}/d`)).mode & 0o7777).toBe(0o750);
    expect((await stat(`${root}/a/b/c`)).mode & 0o7777).toBe(0o600);
    expect(await readlink(`${root}/l`)).toBe("../../etc");
  });

  it.each(["gnu", "posix"])(
    "unpacks what tar itself makes of a directory, in the %s format",
    async (format) => {
      const tree = `${directory}/tree`;
      const deep = `${"d".repeat(110)}/${"n".repeat(110)}`;
      await mkdir(`${tree}/${"d".repeat(110)}`, { recursive: true });
      await writeFile(`${tree}/${deep}`, "deep");
      await writeFile(`${tree}/.bashrc`, "x".repeat(5000));
      await link(`${tree}/.bashrc`, `${tree}/.profile`);
      await symlink("/nowhere", `${tree}/link`);
      execFileSync("tar", [
        "-c",
        `--format=${format}`,
        "-C",
        tree,
        "-f",
        `${directory}/made.tar`,
        ".",
      ]);
      const root = await unpackBytes(
        await readFile(`${directory}/made.tar`),
        10_000,
      );
      expect((await readdir(root, { recursive: true })).sort()).toEqual(
        (await readdir(tree, { recursive: true })).sort(),
      );
      expect(await readFile(`${root}/${deep}`, "utf8")).toBe("deep");
      expect((await readFile(`${root}/.profile`)).byteLength).toBe(5000);
      expect(await readlink(`${root}/link`)).toBe("/nowhere");
    },
  );

  it("reads names that need extended headers", async () => {
    const name = `${"d".repeat(120)}/${"n".repeat(120)}`;
    const root = await unpack([{ name, content: "x" }]);
    expect(await readFile(`${root}/${name}`, "utf8")).toBe("x");
  });

  it.each<[string, readonly Member[]]>([
    ["an absolute path", [{ name: "/etc/passwd", content: "x" }]],
    ["a climbing path", [{ name: "a/../../evil", content: "x" }]],
    [
      "a climbing hard link",
      [{ name: "h", type: "link", linkname: "../outside/x" }],
    ],
    [
      "a hard link to nothing",
      [{ name: "h", type: "link", linkname: "nothing" }],
    ],
    [
      "a hard link to a link",
      [
        { name: "l", type: "symlink", linkname: "/etc/passwd" },
        { name: "h", type: "link", linkname: "l" },
      ],
    ],
    [
      "a device",
      [{ name: "sda", type: "block-device", devmajor: 8, devminor: 0 }],
    ],
    ["a character device", [{ name: "null", type: "character-device" }]],
    ["a pipe", [{ name: "p", type: "fifo" }]],
    [
      "a file below a file",
      [
        { name: "f", content: "x" },
        { name: "f/g", content: "x" },
      ],
    ],
    [
      "a file in place of a directory",
      [
        { name: "d", type: "directory" },
        { name: "d", content: "x" },
      ],
    ],
    [
      "a file in place of the root",
      [{ name: "./", type: "symlink", linkname: "/etc" }],
    ],
    ["a name that ext4 cannot hold", [{ name: "n".repeat(256), content: "x" }]],
    ["too deep a path", [{ name: "d/".repeat(65) + "f", content: "x" }]],
    [
      "more than fits",
      [
        { name: "f", content: "x".repeat(600) },
        { name: "g", content: "x".repeat(600) },
      ],
    ],
  ])("refuses %s", async (_what, members) => {
    await expect(unpack(members)).rejects.toMatchObject({
      code: "ERR_WORK_SEED",
    });
    expect(await readdir(`${directory}/outside`)).toEqual([]);
  });

  it("never writes through a link that the archive made", async () => {
    const outside = `${directory}/outside`;
    await expect(
      unpack([
        { name: "l", type: "symlink", linkname: outside },
        { name: "l/evil", content: "x" },
      ]),
    ).rejects.toMatchObject({ code: "ERR_WORK_SEED" });
    expect(await readdir(outside)).toEqual([]);
  });

  it("replaces a link by a file of the same name, not its target", async () => {
    await writeFile(`${directory}/outside/target`, "untouched");
    const root = await unpack([
      { name: "l", type: "symlink", linkname: `${directory}/outside/target` },
      { name: "l", content: "mine" },
    ]);
    expect(await readFile(`${root}/l`, "utf8")).toBe("mine");
    expect(await readFile(`${directory}/outside/target`, "utf8")).toBe(
      "untouched",
    );
  });

  it.each([
    [
      "cut off in a member",
      async () =>
        (await seedTar([{ name: "f", content: "x".repeat(900) }])).subarray(
          0,
          700,
        ),
    ],
    ["no tar at all", () => Promise.resolve(Buffer.alloc(2048, 0x41))],
  ])("refuses an archive that is %s", async (_what, bytes) => {
    await expect(unpackBytes(await bytes())).rejects.toMatchObject({
      code: "ERR_WORK_SEED",
    });
  });

  it("refuses a header that would fill the memory", async () => {
    const archive = await seedTar([
      { name: "x", content: "y".repeat(3 * 2 ** 20) },
    ]);
    // The member becomes a GNU long name: 3 MiB that a reader has to keep. The checksum is corrected for the new type.
    archive[156] = "L".charCodeAt(0);
    archive.fill(0x20, 148, 156);
    const sum = archive
      .subarray(0, 512)
      .reduce((total, byte) => total + byte, 0);
    archive.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
    await expect(unpackBytes(archive, 2 ** 30)).rejects.toMatchObject({
      code: "ERR_WORK_SEED",
      message: expect.stringContaining("header") as string,
    });
  });

  it("refuses a seed that is not there", async () => {
    const tree = new SeedTree(`${directory}/root`);
    await expect(
      unpackSeed(
        fakeImage(),
        `${directory}/missing.tar`,
        tree,
        1000,
        new AbortController().signal,
      ),
    ).rejects.toMatchObject({ code: "ERR_WORK_SEED" });
  });

  it("ends at a cancel", async () => {
    const bytes = await seedTar([{ name: "f", content: "x" }]);
    await expect(
      unpackBytes(bytes, 1000, AbortSignal.abort()),
    ).rejects.toMatchObject({ code: "ERR_CANCELLED" });
  });
});
