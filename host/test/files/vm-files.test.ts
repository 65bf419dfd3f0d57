import {
  access,
  link,
  mkdir,
  readdir,
  readFile,
  stat,
  symlink,
  truncate,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { VmRecord } from "@banger/core";
import { ensureDirectories } from "../../src/files/private-directories.js";
import { LocalVmFiles } from "../../src/files/vm-files.js";
import { resolvePaths } from "../../src/paths.js";
import { sampleVm, vmId } from "../store/sample-vm.js";
import { temporaryDirectory } from "./temporary-directory.js";

async function setUp(): Promise<{ files: LocalVmFiles; vm: VmRecord }> {
  const paths = resolvePaths({ BANGER_HOME: await temporaryDirectory() });
  await ensureDirectories(paths);
  const files = new LocalVmFiles({ paths });
  const sample = sampleVm(vmId(0xabc), "web");
  const vm = {
    ...sample,
    runtime: { ...sample.runtime, ...files.directories(sample.id) },
  };
  return { files, vm };
}

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

describe("LocalVmFiles", () => {
  it("makes both directories private, as often as asked", async () => {
    const { files, vm } = await setUp();
    await files.ensure(vm);
    await files.ensure(vm);
    for (const path of [vm.runtime.directory, vm.runtime.runDirectory])
      expect((await stat(path)).mode & 0o777).toBe(0o700);
  });

  it("removes what belongs to one run, and only that", async () => {
    const { files, vm } = await setUp();
    await files.ensure(vm);
    const { directory, runDirectory } = vm.runtime;
    await writeFile(join(directory, "boot.initrd"), "secret");
    await writeFile(join(directory, "boot.initrd.new"), "secret");
    await writeFile(join(directory, "root.qcow2"), "disk");
    for (const name of ["firecracker.metrics", "firecracker-totals.json"])
      await writeFile(join(directory, name), "{}");
    await writeFile(join(directory, "firecracker.log"), "why it ended");
    await writeFile(join(runDirectory, "qmp.sock"), "");
    await files.removeRun(vm);
    await files.removeRun(vm);
    expect(await isThere(runDirectory)).toBe(false);
    expect((await readdir(directory)).sort()).toEqual([
      "firecracker.log",
      "root.qcow2",
    ]);
  });

  it("removes everything, and nothing that a link points to", async () => {
    const { files, vm } = await setUp();
    await files.ensure(vm);
    const outside = await temporaryDirectory();
    await writeFile(join(outside, "precious"), "keep");
    await symlink(outside, join(vm.runtime.directory, "link"));
    await symlink(
      join(outside, "precious"),
      join(vm.runtime.runDirectory, "file"),
    );
    await files.removeAll(vm);
    await files.removeAll(vm);
    expect(await isThere(vm.runtime.directory)).toBe(false);
    expect(await isThere(vm.runtime.runDirectory)).toBe(false);
    expect(await readFile(join(outside, "precious"), "utf8")).toBe("keep");
  });

  it("removes a directory that is itself a link without its target", async () => {
    const { files, vm } = await setUp();
    const outside = await temporaryDirectory();
    await writeFile(join(outside, "precious"), "keep");
    await symlink(outside, vm.runtime.directory);
    await files.removeAll(vm);
    expect(await isThere(vm.runtime.directory)).toBe(false);
    expect(await isThere(join(outside, "precious"))).toBe(true);
  });

  it("refuses a record that names a directory that is not the VM's", async () => {
    const { files, vm } = await setUp();
    const outside = await temporaryDirectory();
    const wrong = { ...vm, runtime: { ...vm.runtime, directory: outside } };
    await expect(files.removeAll(wrong)).rejects.toThrow("no directory of");
    expect(await isThere(outside)).toBe(true);
  });

  it("reads the end of the console", async () => {
    const { files, vm } = await setUp();
    expect(await files.consoleTail(vm, 5)).toEqual([]);
    await mkdir(vm.runtime.directory, { recursive: true });
    const lines = Array.from(
      { length: 20_000 },
      (_, n) => `line ${n.toString()}`,
    );
    await writeFile(
      join(vm.runtime.directory, "console.log"),
      `${lines.join("\r\n")}\r\n\u001b[0mlogin: `,
    );
    expect(await files.consoleTail(vm, 3)).toEqual([
      "line 19998",
      "line 19999",
      "login:",
    ]);
    const all = await files.consoleTail(vm, 1e6);
    expect(all.length).toBeLessThan(8000);
    expect(all[0]).toMatch(/^line 1\d{4}$/);
    expect(await files.consoleTail(vm, 0)).toEqual([]);
  });

  it("shows a console of one endless line", async () => {
    const { files, vm } = await setUp();
    await mkdir(vm.runtime.directory, { recursive: true });
    await writeFile(
      join(vm.runtime.directory, "console.log"),
      "x".repeat(200_000),
    );
    expect(await files.consoleTail(vm, 5)).toHaveLength(1);
  });

  it("counts what the directory really takes", async () => {
    const { files, vm } = await setUp();
    expect(await files.usedBytes(vm)).toBe(0);
    await files.ensure(vm);
    const { directory } = vm.runtime;
    const empty = await files.usedBytes(vm);
    const megabyte = 2 ** 20;
    await writeFile(join(directory, "work.ext4"), "");
    await truncate(join(directory, "work.ext4"), 1024 * megabyte);
    expect(await files.usedBytes(vm)).toBeLessThan(empty + megabyte);

    await mkdir(join(directory, "plugin"));
    const disk = join(directory, "plugin", "root.qcow2");
    await writeFile(disk, Buffer.alloc(4 * megabyte, 1));
    await link(disk, join(directory, "same"));
    const outside = await temporaryDirectory();
    await writeFile(join(outside, "big"), Buffer.alloc(9 * megabyte, 1));
    await symlink(outside, join(directory, "link"));
    await symlink(join(outside, "big"), join(directory, "big"));
    const used = await files.usedBytes(vm);
    expect(used).toBeGreaterThanOrEqual(empty + 4 * megabyte);
    expect(used).toBeLessThan(empty + 5 * megabyte);
  });

  it("says what keeps it from making a directory", async () => {
    const { files, vm } = await setUp();
    await writeFile(vm.runtime.directory, "");
    await expect(files.ensure(vm)).rejects.toMatchObject({
      code: "ERR_PATH_UNUSABLE",
    });
  });

  it("knows the free space", async () => {
    const { files } = await setUp();
    expect(await files.freeBytes()).toBeGreaterThan(0);
  });
});
