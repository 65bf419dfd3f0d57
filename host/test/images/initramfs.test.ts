import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { describe, expect, it } from "vitest";
import { isStaticProgram } from "../../src/images/elf.js";
import { buildInitramfs } from "../../src/images/initramfs.js";
import { initramfsDirectory, readList } from "../../src/images/recipe.js";
import { temporaryDirectory } from "../files/temporary-directory.js";
import { readArchives } from "../guest-boot/newc-reader.js";
import { fakeElf } from "./fake-elf.js";

async function setUp(
  busybox: Buffer,
): Promise<{ busybox: string; modules: string }> {
  const directory = await temporaryDirectory();
  await writeFile(`${directory}/busybox`, busybox);
  for (const line of await readList(`${initramfsDirectory}/modules`)) {
    const [module = ""] = line.split(" ");
    const path = `${directory}/modules/kernel/${module}`;
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, `module ${module}`);
  }
  return { busybox: `${directory}/busybox`, modules: `${directory}/modules` };
}

describe("buildInitramfs", () => {
  it("holds busybox, the script, and the modules in the order of their list", async () => {
    const { busybox, modules } = await setUp(fakeElf(1));
    const archives = readArchives(
      Buffer.from(await buildInitramfs(busybox, modules)),
    );
    expect(archives).toHaveLength(1);
    const tree = new Map(archives[0]?.map((member) => [member.path, member]));
    expect(tree.get("bin/busybox")?.content.equals(fakeElf(1))).toBe(true);
    expect(tree.get("bin/busybox")?.mode).toBe(0o755);
    const script = await readFile(`${initramfsDirectory}/init`);
    expect(tree.get("init")?.content.equals(script)).toBe(true);
    expect(tree.get("init")?.mode).toBe(0o755);
    const list = await readList(`${initramfsDirectory}/modules`);
    const lines = list.map((path) => path.slice(path.lastIndexOf("/") + 1));
    expect(tree.get("modules")?.content.toString().trim().split("\n")).toEqual(
      lines,
    );
    for (const [index, line] of lines.entries()) {
      const [name = ""] = line.split(" ");
      expect(tree.get(`lib/modules/${name}`)?.content.toString()).toBe(
        `module ${list[index]?.split(" ")[0] ?? ""}`,
      );
    }
    for (const directory of ["proc", "sys", "dev", "newroot"])
      expect(tree.get(directory)?.kind).toBe("directory");
  });

  it("links every program that its script calls", async () => {
    const { busybox, modules } = await setUp(fakeElf(1));
    const [archive = []] = readArchives(
      Buffer.from(await buildInitramfs(busybox, modules)),
    );
    const links = archive
      .filter(({ kind }) => kind === "symlink")
      .map(({ path }) => path.replace("bin/", ""));
    const script = await readFile(`${initramfsDirectory}/init`, "utf8");
    const candidates =
      "mount umount mkdir insmod modprobe usleep sleep cpio find ip ln cp mv rm cat sed grep chmod poweroff reboot sync switch_root".split(
        " ",
      );
    const commands = script
      .split("\n")
      .filter((line) => !line.trimStart().startsWith("#"))
      .join("\n")
      .replaceAll(/"[^"\n]*"/g, '""');
    for (const program of candidates) {
      const isCalled = new RegExp(
        `(^|[;&|(]|\\bdo|\\bthen|\\bexec)\\s*${program}\\b`,
        "m",
      ).test(commands);
      if (isCalled) expect(links, program).toContain(program);
    }
  });

  it("refuses a busybox that is not static, or no program", async () => {
    for (const content of [fakeElf(3), Buffer.from("#!/bin/sh\n")]) {
      const { busybox, modules } = await setUp(content);
      await expect(buildInitramfs(busybox, modules)).rejects.toMatchObject({
        code: "ERR_BUSYBOX_NOT_STATIC",
        kind: "unavailable",
      });
    }
  });
});

describe("isStaticProgram", () => {
  it("takes any bytes", () => {
    expect(isStaticProgram(fakeElf(1))).toBe(true);
    expect(isStaticProgram(fakeElf(3))).toBe(false);
    for (let length = 0; length < 64 + 3; length++)
      expect(isStaticProgram(fakeElf(1).subarray(0, length))).toBe(false);
    const wild = fakeElf(1);
    wild.writeBigUInt64LE(2n ** 64n - 1n, 32);
    expect(isStaticProgram(wild)).toBe(false);
  });
});
