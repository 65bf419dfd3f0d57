import {
  mkdir,
  open,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import {
  CommandFailedError,
  type Command,
  type CommandResult,
  type CommandRunner,
} from "@banger/core";
import { FakeCommandRunner } from "@banger/core/testing";
import { expect, it, onTestFinished } from "vitest";
import { ExecaCommandRunner } from "../../src/commands/execa-command-runner.js";
import {
  hostDevices,
  isOnFile,
  listLoopDevices,
  LoopDevices,
} from "../../src/disks/loop-devices.js";
import { temporaryDirectory } from "../files/temporary-directory.js";
import { DiskWorld, imageBytes, never } from "./disk-world.js";

const real = new ExecaCommandRunner();
const obstacle = await loopObstacle();
/** With what keeps it from running here in its name. */
const onRealLoops = (name: string, test: () => Promise<void>): void =>
  it.skipIf(obstacle !== undefined)(
    obstacle === undefined ? name : `${name} (not run: ${obstacle})`,
    test,
  );

async function loopObstacle(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return "this is not root";
  if ((await real.find("losetup")) === undefined) return "there is no losetup";
  return (await stat("/dev/loop-control").catch(() => undefined)) === undefined
    ? "there are no loop devices"
    : undefined;
}

function losetup(...args: string[]): Promise<CommandResult> {
  return real.run({ file: "losetup", args, timeoutMs: 10_000 });
}

/** What the system says of the loop devices on files below a directory. */
async function below(directory: string): Promise<readonly string[]> {
  const columns = ["--noheadings", "--raw", "--output", "NAME,RO,BACK-FILE"];
  const { stdout } = await losetup("--list", ...columns);
  return stdout
    .split("\n")
    .filter((line) => line.includes(directory))
    .sort();
}

/** A file of a test, which takes its devices with it. */
async function backingFile(): Promise<string> {
  const file = join(await temporaryDirectory(), "file.img");
  await writeFile(file, Buffer.alloc(4096));
  onTestFinished(async () => {
    for (const line of await below(file))
      await losetup("--detach", line.split(" ")[0] ?? "");
  });
  return file;
}

/** Puts a file on a device that is free, which others may take first. */
async function attach(file: string, readOnly = false): Promise<string> {
  const loops = new LoopDevices(real);
  const meant = await stat(file, { bigint: true });
  for (;;) {
    const device = await loops.free(never);
    if (await loops.attach(device, file, readOnly, meant, never)) return device;
  }
}

onRealLoops("are attached as they are asked for", async () => {
  const file = await backingFile();
  const loops = new LoopDevices(real);
  const device = await attach(file, true);
  expect(await below(file)).toEqual([`${device} 1 ${file}`]);
  const all = await listLoopDevices(hostDevices);
  const found = all.find((loop) => loop.device === device);
  expect(await loops.find(device)).toEqual(found);
  expect(found).toEqual({
    device,
    number: expect.stringMatching(/^7:\d+$/) as string,
    backingFile: file,
    readOnly: true,
    holders: [],
  });
  await loops.detach(device, () => true);
  await loops.detach(device, () => true);
  expect(await below(file)).toEqual([]);
});

onRealLoops("stay with whoever was quicker", async () => {
  const file = await backingFile();
  const other = await backingFile();
  const device = await attach(other);
  const loops = new LoopDevices(real);
  const meant = await stat(file, { bigint: true });
  for (const name of [device, "/dev/loop999999"])
    expect(await loops.attach(name, file, false, meant, never)).toBe(false);
  expect(await below(file)).toEqual([]);
  expect(await below(other)).toEqual([`${device} 0 ${other}`]);
});

onRealLoops("hold the file that was looked at, or none", async () => {
  const file = await backingFile();
  const meant = await stat(file, { bigint: true });
  const loops = new LoopDevices(real);
  await rename(file, `${file}-old`);
  await writeFile(file, Buffer.alloc(4096));
  const device = await loops.free(never);
  await expect(
    loops.attach(device, file, false, meant, never),
  ).rejects.toMatchObject({ code: "ERR_FILE_FOREIGN" });
  expect(await below(file)).toEqual([]);
});

onRealLoops(
  "stay when they are not ours, whatever they are called",
  async () => {
    const file = await backingFile();
    const loops = new LoopDevices(real);
    const device = await attach(file);
    await loops.detach(device, ({ backingFile: found }) => found === "/srv/x");
    await loops.detach("/dev/loop-control", () => true);
    await loops.detach("/dev/sda", () => true);
    expect(await below(file)).toEqual([`${device} 0 ${file}`]);
  },
);

onRealLoops("are found by the name of a file that was removed", async () => {
  const file = await backingFile();
  const loops = new LoopDevices(real);
  const device = await attach(file);
  await rm(file);
  expect(await below(file)).toEqual([`${device} 0 ${file}\\x20(deleted)`]);
  await loops.detach(device, ({ backingFile: found }) => found === file);
  expect(await below(file)).toEqual([]);
});

onRealLoops("go with the last one who has them open", async () => {
  const file = await backingFile();
  const loops = new LoopDevices(real);
  const device = await attach(file);
  const user = await open(device, "r");
  const gone = loops.detach(device, () => true);
  setTimeout(() => void user.close(), 200);
  await gone;
  expect(await below(file)).toEqual([]);
});

it("are none on a host without any", async () => {
  const nowhere = { sys: "/nonexistent", dev: "/nonexistent" };
  const loops = new LoopDevices(new FakeCommandRunner(), nowhere);
  expect(await listLoopDevices(nowhere)).toEqual([]);
  await loops.detach("/dev/loop0", () => true);
});

/** Real loop devices under a device-mapper that only says what it was asked. */
class WithoutMapper implements CommandRunner {
  readonly asked: string[] = [];

  async run(command: Command): Promise<CommandResult> {
    if (command.file !== "dmsetup") return real.run(command);
    this.asked.push(command.args.join(" "));
    const stdout = command.args[0] === "targets" ? "snapshot v1.16.0" : "";
    if (command.args[0] === "info") {
      const stderr = "Device does not exist.\nCommand failed.";
      throw new CommandFailedError(command, "exited with status 1", { stderr });
    }
    return { exitCode: 0, stdout, stderr: "" };
  }

  async find(program: string): Promise<string | undefined> {
    return program === "dmsetup" ? "/usr/sbin/dmsetup" : real.find(program);
  }
}

onRealLoops("are what a snapshot is made on, and go with it", async () => {
  const directory = await temporaryDirectory();
  // The kernel names files without symbolic links.
  await symlink(directory, join(directory, "link"));
  const world = await DiskWorld.in(join(directory, "link"), {
    rootDisk: "snapshot",
  });
  const commands = new WithoutMapper();
  const sys = join(directory, "sys");
  const disks = world.disks({ commands, devices: await onlyLoops(sys) });
  await disks.ensure(world.vm, world.image, world.record, never);
  try {
    const { baseLoop = "", cowLoop = "" } = world.vm.runtime;
    expect(await below(directory)).toEqual(
      [
        `${baseLoop} 1 ${join(directory, "images", world.image.id, "rootfs.ext4")}`,
        `${cowLoop} 0 ${join(directory, "vms", world.vm.id, "root.cow")}`,
      ].sort(),
    );
    expect(commands.asked.at(-1)).toBe(
      `create fc-rootfs-00123456 --uuid banger-00123456789a --table 0 ${String(imageBytes / 512)} snapshot ${baseLoop} ${cowLoop} P 8`,
    );
    // A record that is behind is enough for what is on the overlay, not for what is on the image.
    world.set({ cowLoop: "/dev/loop99" });
  } finally {
    await disks.release(world.vm);
  }
  expect(await below(directory)).toEqual([]);
});

/** The host's block devices beside a device-mapper that has none. */
async function onlyLoops(sys: string): Promise<{ sys: string; dev: string }> {
  await mkdir(join(sys, "class/misc/device-mapper"), { recursive: true });
  await symlink("/sys/block", join(sys, "block"));
  return { sys, dev: "/dev" };
}

it.each([
  ["/var/lib/banger/state/vms/5eed/root.cow", true],
  ["/state/vms/5eed/root.cow", true],
  ["/5eed/root.cow", true],
  ["/root.cow", false],
  ["/eed/root.cow", false],
  ["5eed/root.cow", false],
  ["/srv/state/vms/5eed/root.cow", false],
  ["/state/vms/5eee/root.cow", false],
  ["", false],
])("takes %s for the file on a device: %s", (backingFile, expected) => {
  const path = "/var/lib/banger/state/vms/5eed/root.cow";
  expect(isOnFile({ backingFile }, path)).toBe(expected);
});

onRealLoops(
  "are known by their files when the mounts are gone on which those were opened",
  async () => {
    const file = await backingFile();
    const directory = join(file, "../..");
    const script = `mount --bind "$1" "$1" && losetup --find --show "$2"`;
    const { stdout } = await real.run({
      file: "unshare",
      args: ["--mount", "sh", "-c", script, "sh", directory, file],
      timeoutMs: 10_000,
    });
    const device = stdout.trim();
    onTestFinished(async () => {
      await losetup("--detach", device).catch(() => undefined);
    });
    const loops = new LoopDevices(real);
    expect(await loops.find(device)).not.toMatchObject({ backingFile: file });
    await loops.detach(device, (loop) => isOnFile(loop, file));
    expect(await loops.find(device)).toBeUndefined();
  },
);
