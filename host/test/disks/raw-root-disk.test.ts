import { createHash } from "node:crypto";
import {
  chmod,
  copyFile,
  mkdir,
  open,
  readdir,
  readFile,
  stat,
  statfs,
  truncate,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import type { CommandResult, RootDiskStrategy } from "@banger/core";
import { FakeCommandRunner, fakeVmId } from "@banger/core/testing";
import { describe, expect, it, onTestFinished } from "vitest";
import { ExecaCommandRunner } from "../../src/commands/execa-command-runner.js";
import { dataBytes, estimateCopyMs } from "../../src/disks/copy-root-disk.js";
import { temporaryDirectory } from "../files/temporary-directory.js";
import { DiskWorld, never, noClone } from "./disk-world.js";

const real = new ExecaCommandRunner();
const MiB = 2 ** 20;

/** An image of 64 MiB that holds two pieces of 1 MiB, and is open to others as an image may be. */
async function sparseImage(world: DiskWorld): Promise<void> {
  const file = world.imageFile();
  await truncate(file, 64 * MiB);
  const handle = await open(file, "r+");
  try {
    await handle.write(Buffer.alloc(MiB, "first "), 0, MiB, 4 * MiB);
    await handle.write(Buffer.alloc(MiB, "second "), 0, MiB, 40 * MiB);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await chmod(file, 0o444);
}

async function digest(file: string): Promise<string> {
  return createHash("sha256")
    .update(await readFile(file))
    .digest("hex");
}

/** File systems whose files can share blocks, and how a small one is made. */
const fileSystems = [
  { kind: "xfs", make: ["mkfs.xfs", "-q", "-m", "reflink=1"] },
  { kind: "btrfs", make: ["mkfs.btrfs", "-q"] },
] as const;

/** Why a test cannot mount one here. */
async function fileSystemObstacle(kind: string): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return "this is not root";
  if ((await real.find(`mkfs.${kind}`)) === undefined)
    return `there is no mkfs.${kind}`;
  const known = await readFile("/proc/filesystems", "utf8");
  return new RegExp(`\\t${kind}$`, "m").test(known)
    ? undefined
    : `this kernel has no ${kind}`;
}

const candidates = await Promise.all(
  fileSystems.map(async (one) => ({
    ...one,
    obstacle: await fileSystemObstacle(one.kind),
  })),
);

function run(file: string, ...args: string[]): Promise<CommandResult> {
  return real.run({ file, args, timeoutMs: 30_000 });
}

/** A new file system in a file, mounted for the length of a test. */
async function mounted(
  kind: string,
  [program, ...options]: readonly [string, ...string[]],
): Promise<string> {
  const directory = await temporaryDirectory();
  const [disk, point] = [join(directory, "disk"), join(directory, "mounted")];
  await writeFile(disk, "");
  // The least that mkfs.xfs takes is 300 MiB.
  await truncate(disk, 512 * MiB);
  await mkdir(point);
  await run(program, ...options, disk);
  await run("mount", "-o", "loop", "-t", kind, disk, point);
  onTestFinished(async () => {
    await run("umount", point);
  });
  return point;
}

/** What is used of a file system once everything is on it, bytes. */
async function usedBytes(directory: string): Promise<number> {
  await run("sync", "--file-system", directory);
  const { blocks, bfree, bsize } = await statfs(directory);
  return (blocks - bfree) * bsize;
}

describe("copy", () => {
  it("has the image's bytes and holes, once", async () => {
    const world = await DiskWorld.in(await temporaryDirectory(), {
      rootDisk: "copy",
    });
    await sparseImage(world);
    const disks = world.disks({ commands: real });
    await writeFile(world.file("root.raw.new"), "half of an earlier attempt");
    await disks.ensure(world.vm, world.image, world.record, never);
    const disk = world.file("root.raw");
    expect(await digest(disk)).toBe(await digest(world.imageFile()));
    expect(await dataBytes(disk)).toBeLessThan(8 * MiB);
    expect((await stat(disk)).mode & 0o777).toBe(0o600);
    expect(await readdir(world.vm.runtime.directory)).toEqual(["root.raw"]);

    await writeFile(disk, "written by the guest");
    await disks.ensure(world.vm, world.image, world.record, never);
    expect(await readFile(disk, "utf8")).toBe("written by the guest");
    await disks.release(world.vm);
    expect(await readdir(world.vm.runtime.directory)).toEqual(["root.raw"]);
  });

  it("is estimated with a sample that replaces what a killed process left", async () => {
    const directory = await temporaryDirectory();
    await writeFile(join(directory, ".copy-sample"), "left");
    const estimates = [1, 2].map(() => estimateCopyMs(directory, 64 * MiB));
    for (const ms of await Promise.all(estimates))
      expect(ms).toBeGreaterThan(0);
    expect(await readdir(directory)).toEqual([]);
  });

  it("leaves nothing when it is cancelled in the middle", async () => {
    const world = await DiskWorld.in(await temporaryDirectory(), {
      rootDisk: "copy",
    });
    const cancel = new AbortController();
    // A cp that takes its time, so that the cancel meets it.
    const commands = new FakeCommandRunner().install("cp", async (command) => {
      await copyFile(command.args.at(-2) ?? "", command.args.at(-1) ?? "");
      setTimeout(() => cancel.abort(), 50);
      return real.run({ ...command, file: "sleep", args: ["60"] });
    });
    await expect(
      world
        .disks({ commands })
        .ensure(world.vm, world.image, world.record, cancel.signal),
    ).rejects.toMatchObject({ code: "ERR_CANCELLED" });
    expect(await readdir(world.vm.runtime.directory)).toEqual([]);
  });

  it("leaves nothing when the disk gets full, and says so", async () => {
    const world = await DiskWorld.in(await temporaryDirectory(), {
      rootDisk: "copy",
    });
    const commands = new FakeCommandRunner().install("cp", async ({ args }) => {
      await writeFile(args.at(-1) ?? "", "half");
      const stderr = "cp: error writing: No space left on device";
      return { exitCode: 1, stderr };
    });
    await expect(
      world
        .disks({ commands })
        .ensure(world.vm, world.image, world.record, never),
    ).rejects.toMatchObject({ code: "ERR_DISK_FULL" });
    expect(await readdir(world.vm.runtime.directory)).toEqual([]);
  });
});

describe("reflink", () => {
  it("is cloned under its name only when it is whole, private, and once", async () => {
    const world = await DiskWorld.in(await temporaryDirectory(), {
      rootDisk: "reflink",
    });
    await chmod(world.imageFile(), 0o444);
    await writeFile(world.file("root.raw.new"), "half of an earlier attempt");
    const clones: [string, string][] = [];
    const disks = world.disks({
      commands: new FakeCommandRunner(),
      clone: async (from, to) => {
        clones.push([from, to]);
        expect(await readdir(world.vm.runtime.directory)).toEqual([]);
        await copyFile(from, to);
      },
    });
    await disks.ensure(world.vm, world.image, world.record, never);
    await disks.ensure(world.vm, world.image, world.record, never);
    expect(clones).toEqual([[world.imageFile(), world.file("root.raw.new")]]);
    expect((await stat(world.file("root.raw"))).mode & 0o777).toBe(0o600);
  });

  it("says that the file system does not do it any more, and leaves nothing", async () => {
    const world = await DiskWorld.in(await temporaryDirectory(), {
      rootDisk: "reflink",
    });
    const commands = new FakeCommandRunner();
    await expect(
      world
        .disks({ commands, clone: noClone })
        .ensure(world.vm, world.image, world.record, never),
    ).rejects.toMatchObject({
      code: "ERR_ROOT_DISK_UNAVAILABLE",
      kind: "unavailable",
    });
    expect(await readdir(world.vm.runtime.directory)).toEqual([]);
  });

  for (const { kind, make, obstacle } of candidates) {
    it.skipIf(obstacle !== undefined)(
      `shares the image's blocks on ${kind}${obstacle === undefined ? "" : ` (not run: ${obstacle})`}`,
      async () => {
        const directory = await mounted(kind, make);
        const world = await DiskWorld.in(directory);
        await sparseImage(world);
        const disks = world.disks({ commands: real });
        const choose = (vm = world.vm): Promise<RootDiskStrategy> =>
          disks.choose(vm, ["raw"], world.image, never);
        expect(await choose()).toBe("reflink");
        expect(await readdir(world.vm.runtime.directory)).toEqual([]);
        world.set({ rootDisk: "reflink" });
        const before = await usedBytes(directory);
        await disks.ensure(world.vm, world.image, world.record, never);
        expect((await usedBytes(directory)) - before).toBeLessThan(MiB);
        const disk = world.file("root.raw");
        const original = await digest(world.imageFile());
        expect(await digest(disk)).toBe(original);
        await writeFile(disk, "written by the guest", { flag: "r+" });
        expect(await digest(world.imageFile())).toBe(original);
        // With the image on another file system nothing is shared, whatever the VM's can do.
        const elsewhere = await DiskWorld.in(await temporaryDirectory());
        const other = await DiskWorld.in(directory, {}, fakeVmId(2));
        expect(
          await other
            .disks({ commands: real, kind: "none" })
            .choose(other.vm, ["raw"], elsewhere.image, never),
        ).toBe("copy");
      },
      60_000,
    );
  }
});
