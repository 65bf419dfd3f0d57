import {
  mkdir,
  mkdtemp,
  readdir,
  rm,
  stat,
  truncate,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  CommandFailedError,
  type Command,
  type Image,
  type VmRecord,
} from "@banger/core";
import {
  fakeGuestKeys,
  fakeImage,
  fakeOperation,
  fakeVm,
} from "@banger/core/testing";
import {
  ensureDisk,
  readDiskFacts,
  removeUnfinished,
} from "../src/disk-file.js";
import { diskPaths, diskUuid } from "../src/disk-plan.js";
import { RealCommands } from "./real-commands.js";
import { seedTar, type Member } from "./seed-tar.js";

const MiB = 2 ** 20;
let directory = "";
let commands: RealCommands;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "banger-work-disk-"));
  const gitConfig = `${directory}/gitconfig`;
  await writeFile(
    gitConfig,
    '[user]\n\tname = "Ada \\"the\\" L"\n\temail = ada@example.org\n',
  );
  commands = new RealCommands({ GIT_CONFIG_GLOBAL: gitConfig });
  await mkdir(`${directory}/vm`);
});
afterEach(() => rm(directory, { recursive: true, force: true }));

function vmOf(sizeMiB: number): VmRecord {
  return fakeVm({
    spec: { diskSizeBytes: sizeMiB * MiB },
    runtime: { directory: `${directory}/vm` },
  });
}

async function ensure(
  vm: VmRecord,
  {
    image = fakeImage(),
    isRoot = process.getuid?.() === 0,
    signal = new AbortController().signal,
  } = {},
): Promise<void> {
  const config = { seed: true, git_identity: true };
  const hostFacts = { isRoot };
  const deps = { commands, guestKeys: fakeGuestKeys(), hostFacts, config };
  await ensureDisk(deps, { ...fakeOperation(signal), vm, image });
}

async function imageWith(members: readonly Member[]): Promise<Image> {
  const workSeed = `${directory}/seed.tar`;
  await writeFile(workSeed, await seedTar(members));
  const image = fakeImage();
  return { ...image, files: { ...image.files, workSeed } };
}

/** `debugfs` on the finished disk. */
async function debugfs(request: string): Promise<string> {
  const { disk } = diskPaths(vmOf(1));
  const run = {
    file: "debugfs",
    args: ["-R", request, disk],
    timeoutMs: 10_000,
  };
  return (await new RealCommands().run(run)).stdout;
}

/** Name, mode, owner and size of what is in a directory of the disk. */
async function list(path: string): Promise<Record<string, string>> {
  const lines = (await debugfs(`ls -p ${path}`))
    .split("\n")
    .filter((line) => line.startsWith("/"));
  return Object.fromEntries(
    lines.map((line) => {
      const [, , mode = "", uid = "", gid = "", name = ""] = line.split("/");
      return [name, `${mode} ${uid}:${gid}`];
    }),
  );
}

async function checkFileSystem(): Promise<void> {
  const { disk } = diskPaths(vmOf(1));
  await new RealCommands().run({
    file: "e2fsck",
    args: ["-f", "-n", disk],
    timeoutMs: 60_000,
  });
}

// Both ways to make files of root; the second is what a daemon without root takes, and the only one that a user can.
const ways: readonly (readonly [string, boolean])[] = [
  ["in a user namespace", false],
  ...(process.getuid?.() === 0 ? [["as root", true] as const] : []),
];
describe.each(ways)("a new disk, made %s", (_how, isRoot) => {
  it("has the wanted size and nothing in it but root's files", async () => {
    const seed = [
      { name: "./", type: "directory", mode: 0o755, uid: 1000 },
      {
        name: "./.bashrc",
        mode: 0o644,
        uid: 1000,
        gid: 1000,
        content: "hello",
      },
      { name: "bin/tool", mode: 0o4755, content: "#!/bin/sh\n" },
      { name: "bin/again", type: "link", linkname: "bin/tool" },
      { name: "secret/", type: "directory", mode: 0o001 },
      { name: "out", type: "symlink", linkname: "/etc/passwd" },
    ] satisfies Member[];
    await ensure(vmOf(64), { image: await imageWith(seed), isRoot });

    const { disk } = diskPaths(vmOf(64));
    const stats = await stat(disk);
    expect(stats.size).toBe(64 * MiB);
    expect(stats.mode & 0o777).toBe(0o600);
    expect(await list("/")).toMatchObject({
      ".": "040700 0:0",
      ".bashrc": "100644 0:0",
      ".gitconfig": "100644 0:0",
      ".ssh": "040700 0:0",
      bin: "040755 0:0",
      secret: "040701 0:0",
      out: "120777 0:0",
    });
    expect(await list("/bin")).toMatchObject({
      tool: "100755 0:0",
      again: "100755 0:0",
    });
    expect(await list("/.ssh")).toMatchObject({
      authorized_keys: "100600 0:0",
    });
    expect(await debugfs("cat .ssh/authorized_keys")).toBe(
      "ssh-ed25519 AAAAfakeauthorizedkey banger\n",
    );
    expect(await debugfs("cat .gitconfig")).toBe(
      '[user]\n\tname = "Ada \\"the\\" L"\n\temail = "ada@example.org"\n',
    );
    expect(await debugfs("stat out")).toContain("/etc/passwd");
    expect(await debugfs("stats -h")).toContain(diskUuid(vmOf(1).id));
    expect(await readdir(`${directory}/vm`)).toEqual(["work.ext4"]);
    await checkFileSystem();
  });
});

it("stays sparse at 8 GiB, with nothing left for the guest's kernel to initialise", async () => {
  await ensure(vmOf(8192));
  const { blocks, size } = await stat(diskPaths(vmOf(1)).disk);
  expect(size).toBe(8192 * MiB);
  expect(blocks * 512).toBeLessThan(16 * MiB);
  const { stdout } = await new RealCommands().run({
    file: "dumpe2fs",
    args: [diskPaths(vmOf(1)).disk],
    timeoutMs: 10_000,
  });
  const groups = stdout.split("\n").filter((line) => /^Group \d+:/.test(line));
  expect(groups).toHaveLength(64);
  expect(groups.filter((line) => !line.includes("ITABLE_ZEROED"))).toEqual([]);
});

it("is left alone when it is there, whatever the guest wrote", async () => {
  await ensure(vmOf(64));
  commands.commands.length = 0;
  const before = await stat(diskPaths(vmOf(1)).disk);
  await ensure(vmOf(64));
  await ensure(vmOf(32));
  const after = await stat(diskPaths(vmOf(1)).disk);
  expect([after.ino, after.mtimeMs, after.size]).toEqual([
    before.ino,
    before.mtimeMs,
    before.size,
  ]);
  expect(commands.commands).toEqual([]);
});

it("grows with its content, also when the last attempt ended halfway", async () => {
  await ensure(vmOf(32));
  await ensure(vmOf(64));
  expect(await readDiskFacts(vmOf(1))).toEqual({
    fileBytes: 64 * MiB,
    fileSystemBytes: 64 * MiB,
    growing: false,
  });
  // What a kill between truncate and resize2fs leaves.
  await writeFile(diskPaths(vmOf(1)).growing, "");
  await truncate(diskPaths(vmOf(1)).disk, 128 * MiB);
  await ensure(vmOf(128));
  expect(await readDiskFacts(vmOf(1))).toEqual({
    fileBytes: 128 * MiB,
    fileSystemBytes: 128 * MiB,
    growing: false,
  });
  expect(await list("/.ssh")).toHaveProperty("authorized_keys");
  await checkFileSystem();
});

it("runs nothing on a file system that the guest made smaller", async () => {
  await ensure(vmOf(32));
  await truncate(diskPaths(vmOf(1)).disk, 64 * MiB);
  commands.commands.length = 0;
  await ensure(vmOf(64));
  expect(commands.commands).toEqual([]);
});

it("says that the host's disk is full", async () => {
  const run = commands.run.bind(commands);
  const fail = (stderr: string): void => {
    commands.run = (command: Command) =>
      command.args.some((arg) => arg === "ext4") || command.file === "resize2fs"
        ? Promise.reject(
            new CommandFailedError(command, "exited with status 1", { stderr }),
          )
        : run(command);
  };
  const full = { code: "ERR_DISK_FULL", kind: "unavailable" };
  fail("mke2fs: No space left on device while writing");
  await expect(ensure(vmOf(32))).rejects.toMatchObject(full);
  // The kernel's words for too many user namespaces.
  fail("unshare: unshare failed: No space left on device");
  await expect(ensure(vmOf(32))).rejects.toMatchObject({
    code: "ERR_COMMAND_FAILED",
  });
  commands.run = run;
  await ensure(vmOf(32));
  fail("resize2fs: No space left on device");
  await expect(ensure(vmOf(64))).rejects.toMatchObject(full);
  commands.run = run;
  await ensure(vmOf(64));
  expect(await readDiskFacts(vmOf(1))).toMatchObject({
    fileSystemBytes: 64 * MiB,
    growing: false,
  });
});

it("says so when it cannot grow", async () => {
  await ensure(vmOf(32));
  const run = commands.run.bind(commands);
  commands.run = (command: Command) =>
    command.file === "e2fsck"
      ? Promise.reject(
          new CommandFailedError(command, "exited with status 4", {
            stderr: "bad",
          }),
        )
      : run(command);
  await expect(ensure(vmOf(64))).rejects.toMatchObject({
    code: "ERR_WORK_DISK_GROW",
  });
});

it("does not touch a disk whose file system the guest destroyed", async () => {
  const { disk } = diskPaths(vmOf(1));
  await writeFile(disk, Buffer.alloc(1 * MiB, 7));
  await ensure(vmOf(64));
  expect((await stat(disk)).size).toBe(1 * MiB);
  expect(commands.commands).toEqual([]);
});

it("makes the disk with an mke2fs that is too old for the option", async () => {
  const run = commands.run.bind(commands);
  commands.run = (command: Command) =>
    command.args.some((arg) => arg.includes("assume_storage_prezeroed"))
      ? Promise.reject(
          new CommandFailedError(command, "exited with status 1", {
            stderr: "\nBad option(s) specified: assume_storage_prezeroed\n",
          }),
        )
      : run(command);
  await ensure(vmOf(64));
  await checkFileSystem();
});

it("replaces what an interrupted attempt left, and leaves nothing when it fails", async () => {
  const vm = vmOf(64);
  const { staging, unfinished } = diskPaths(vm);
  await mkdir(`${staging}/old`, { recursive: true });
  await writeFile(unfinished, "half");
  const bad = await imageWith([{ name: "../evil", content: "x" }]);
  await expect(ensure(vm, { image: bad })).rejects.toMatchObject({
    code: "ERR_WORK_SEED",
  });
  expect(await readdir(`${directory}/vm`)).toEqual([]);
  await mkdir(`${staging}/old`, { recursive: true });
  await writeFile(unfinished, "half");
  await ensure(vm);
  expect(await list("/")).not.toHaveProperty("old");
});

it("ends at a cancel", async () => {
  await expect(
    ensure(vmOf(64), { signal: AbortSignal.abort() }),
  ).rejects.toMatchObject({ code: "ERR_CANCELLED" });
  expect(await readdir(`${directory}/vm`)).toEqual([]);
});

it("removes what was never finished, twice, and keeps the disk", async () => {
  const vm = vmOf(64);
  const { disk, staging, unfinished } = diskPaths(vm);
  await mkdir(`${staging}/x`, { recursive: true });
  await writeFile(unfinished, "half");
  await writeFile(disk, "whole");
  await removeUnfinished(vm);
  await removeUnfinished(vm);
  expect(await readdir(`${directory}/vm`)).toEqual(["work.ext4"]);
});

it("keeps what a seed's own .gitconfig sets and replaces its authorised keys", async () => {
  const image = await imageWith([
    { name: ".gitconfig", content: "[user]\n\temail = seed@example.org" },
    { name: ".ssh", type: "symlink", linkname: `${directory}/outside` },
  ]);
  await mkdir(`${directory}/outside`);
  await ensure(vmOf(64), { image });
  expect(await debugfs("cat .gitconfig")).toBe(
    '[user]\n\temail = seed@example.org\n[user]\n\tname = "Ada \\"the\\" L"\n',
  );
  expect(await list("/.ssh")).toMatchObject({
    ".": "040700 0:0",
    authorized_keys: "100600 0:0",
  });
  expect(await readdir(`${directory}/outside`)).toEqual([]);
});
