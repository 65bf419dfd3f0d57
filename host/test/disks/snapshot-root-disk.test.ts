import { readdir, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  CancelledError,
  type Command,
  type CommandResult,
  type CommandRunner,
  type RootDiskNames,
} from "@banger/core";
import { fakeVmId, type FakeCommandRunner } from "@banger/core/testing";
import { describe, expect, it } from "vitest";
import { ExecaCommandRunner } from "../../src/commands/execa-command-runner.js";
import type { InstalledRootDisks } from "../../src/disks/installed-root-disks.js";
import { temporaryDirectory } from "../files/temporary-directory.js";
import { DiskWorld, imageBytes, never, noClone } from "./disk-world.js";
import { FakeKernel } from "./fake-kernel.js";

const name = "fc-rootfs-00123456";
const uuid = "banger-00123456789a";
/** Three chunks, one of metadata and the header. */
const overlayBytes = 5 * 4096;
const sectors = imageBytes / 512;

interface Scene {
  readonly world: DiskWorld;
  readonly kernel: FakeKernel;
  readonly commands: FakeCommandRunner;
  readonly disks: InstalledRootDisks;
}

async function scene(): Promise<Scene> {
  const directory = await temporaryDirectory();
  const world = await DiskWorld.in(directory, { rootDisk: "snapshot" });
  const kernel = await FakeKernel.in(directory);
  const commands = kernel.commands();
  return { world, kernel, commands, disks: onKernel(world, kernel, commands) };
}

function onKernel(
  world: DiskWorld,
  kernel: FakeKernel,
  commands: CommandRunner = kernel.commands(),
): InstalledRootDisks {
  return world.disks({ commands, devices: kernel.tree, clone: noClone });
}

/** What `ensure` leaves on an empty host. */
function whole(world: DiskWorld): readonly string[] {
  return [
    `loop0 ${world.imageFile()}`,
    `loop1 ${world.file("root.cow")}`,
    `${name} 0 ${String(sectors)} snapshot /dev/loop0 /dev/loop1 P 8`,
  ];
}

/** What changes devices, not what looks at them. */
function changes(commands: FakeCommandRunner): readonly string[] {
  return commands.commands
    .map(({ file, args }) => [file, ...args].join(" "))
    .filter((line) => !/--find|--list|targets|info|dmsetup table/.test(line));
}

it("makes loop devices and the snapshot over them, each recorded before", async () => {
  const { world, kernel, commands, disks } = await scene();
  const recorded: [RootDiskNames, readonly string[]][] = [];
  await disks.ensure(
    world.vm,
    world.image,
    async (names) => {
      recorded.push([names, await kernel.devices()]);
      await world.record(names);
    },
    never,
  );
  const loops = { baseLoop: "/dev/loop0", cowLoop: "/dev/loop1" };
  const device = { dmName: name, dmDevice: `/dev/mapper/${name}` };
  const [base, cow] = whole(world);
  expect(recorded).toEqual([
    [{ baseLoop: "/dev/loop0" }, []],
    [loops, [base]],
    [{ ...loops, ...device }, [base, cow]],
  ]);
  expect(await kernel.devices()).toEqual(whole(world));
  expect(changes(commands)).toEqual([
    `losetup --read-only /dev/loop0 ${world.imageFile()}`,
    `losetup /dev/loop1 ${world.file("root.cow")}`,
    `dmsetup create ${name} --uuid ${uuid} --table 0 ${String(sectors)} snapshot /dev/loop0 /dev/loop1 P 8`,
  ]);
  for (const { signal, timeoutMs } of commands.commands)
    expect([signal === undefined || signal === never, timeoutMs > 0]).toEqual([
      true,
      true,
    ]);
  const overlay = await stat(world.file("root.cow"));
  expect([overlay.size, overlay.mode & 0o777]).toEqual([overlayBytes, 0o600]);
  expect(await readdir(world.vm.runtime.directory)).toEqual(["root.cow"]);
});

it("makes nothing the second time, and brings a record that is behind up to date", async () => {
  const { world, kernel, disks } = await scene();
  const before = world.vm;
  await disks.ensure(world.vm, world.image, world.record, never);
  const { runtime } = world.vm;
  const commands = kernel.commands();
  const again = onKernel(world, kernel, commands);
  const record = (): Promise<void> => Promise.reject(new Error("recorded"));
  await again.ensure(world.vm, world.image, record, never);
  const late: RootDiskNames[] = [];
  const keep = async (names: RootDiskNames): Promise<void> => {
    late.push(names);
  };
  await again.ensure(before, world.image, keep, never);
  expect([{ ...before.runtime, ...late[0] }]).toEqual([runtime]);
  expect(late).toHaveLength(1);
  expect(changes(commands)).toEqual([]);
  expect(await kernel.devices()).toEqual(whole(world));
});

it("releases everything but the overlay, twice, by names or by what is there", async () => {
  const { world, kernel, commands, disks } = await scene();
  const unrecorded = world.vm;
  await disks.ensure(world.vm, world.image, world.record, never);
  const before = commands.commands.length;
  await disks.release(world.vm);
  await disks.release(world.vm);
  expect(await kernel.devices()).toEqual([]);
  expect(changes(commands).slice(3)).toEqual([
    `dmsetup remove --retry ${name}`,
    `losetup --detach ${kernel.tree.dev}/loop0`,
    `losetup --detach ${kernel.tree.dev}/loop1`,
  ]);
  expect(
    commands.commands.slice(before).every(({ signal }) => signal === undefined),
  ).toBe(true);
  expect(await readdir(world.vm.runtime.directory)).toEqual(["root.cow"]);

  // A record without names: what is on the overlay is found, and the image's device only by its name.
  world.set({ rootDisk: "qcow2" });
  await disks.ensure(
    { ...world.vm, runtime: { ...unrecorded.runtime } },
    world.image,
    () => Promise.resolve(),
    never,
  );
  await rm(world.file("root.cow"));
  await kernel.unlink("loop1");
  const bare = { ...unrecorded.runtime, rootDisk: "qcow2" as const };
  await disks.release({ ...unrecorded, runtime: bare });
  expect(await kernel.devices()).toEqual([`loop0 ${world.imageFile()}`]);
});

it("gives back what the guest wrote in the next run", async () => {
  const { world, disks } = await scene();
  await disks.ensure(world.vm, world.image, world.record, never);
  await disks.release(world.vm);
  const header = Buffer.alloc(overlayBytes);
  header.writeUInt32LE(0x70416e53, 0);
  header.writeUInt32LE(1, 4);
  await writeFile(world.file("root.cow"), header);
  await disks.ensure(world.vm, world.image, world.record, never);
  expect((await stat(world.file("root.cow"))).size).toBe(overlayBytes);
});

it.each([
  ["that the kernel gave up", 0x70416e53, 0, overlayBytes],
  ["that is something else", 0x12345678, 1, overlayBytes],
  ["of another image", 0x70416e53, 1, overlayBytes - 4096],
])(
  "refuses an overlay %s, before any device",
  async (_, magic, valid, size) => {
    const { world, kernel, disks } = await scene();
    const header = Buffer.alloc(size);
    header.writeUInt32LE(magic, 0);
    header.writeUInt32LE(valid, 4);
    await writeFile(world.file("root.cow"), header);
    await expect(
      disks.ensure(world.vm, world.image, world.record, never),
    ).rejects.toMatchObject({ code: "ERR_ROOT_DISK_INVALID" });
    expect(await kernel.devices()).toEqual([]);
    expect(await stat(world.file("root.cow"))).toMatchObject({ size });
  },
);

it("says what the host lacks when it has a snapshot from before", async () => {
  const { world, kernel } = await scene();
  const disks = world.disks({
    commands: kernel.commands(),
    devices: { sys: "/nonexistent", dev: "/nonexistent" },
  });
  await expect(
    disks.ensure(world.vm, world.image, world.record, never),
  ).rejects.toMatchObject({
    code: "ERR_ROOT_DISK_UNAVAILABLE",
    hint: expect.stringContaining("modprobe dm-snapshot") as string,
  });
  expect(world.vm.runtime.baseLoop).toBeUndefined();
});

it("is not made for a VMM that could not open it", async () => {
  const { world, kernel } = await scene();
  const disks = world.disks({
    ...{ commands: kernel.commands(), devices: kernel.tree, kind: "helper" },
  });
  const ensure = () => disks.ensure(world.vm, world.image, world.record, never);
  await expect(ensure()).rejects.toMatchObject({
    code: "ERR_ROOT_DISK_UNAVAILABLE",
    hint: expect.stringContaining("--driver firecracker") as string,
  });
  expect(await kernel.devices()).toEqual([]);
  world.set({ jailDirectory: `${world.jailBase()}/firecracker/1` });
  await ensure();
  expect(await kernel.devices()).toEqual(whole(world));
});

describe("other people's devices", () => {
  it("are left alone when they take a number first", async () => {
    const { world, kernel, disks } = await scene();
    kernel.beforeAttach = async (device) => {
      if (device === "loop0" || device === "loop2")
        await kernel.attach(device, "/srv/other.img").catch(() => undefined);
    };
    await disks.ensure(world.vm, world.image, world.record, never);
    expect(world.vm.runtime).toMatchObject({
      baseLoop: "/dev/loop1",
      cowLoop: "/dev/loop3",
    });
    await disks.release(world.vm);
    expect(await kernel.devices()).toEqual([
      "loop0 /srv/other.img",
      "loop2 /srv/other.img",
    ]);
  });

  it("are left alone when the record names them", async () => {
    const { world, kernel, disks } = await scene();
    await kernel.attach("loop0", "/srv/other.img");
    await kernel.attach("loop1", "/srv/other.img");
    await kernel.map("unrelated", "0 8 linear /dev/loop1 0");
    const before = await kernel.devices();
    world.set({ baseLoop: "/dev/loop0", cowLoop: "/dev/loop1", dmName: name });
    await disks.release(world.vm);
    expect(await kernel.devices()).toEqual(before);
  });

  it("are those of another VM of the image, also when our record names its device", async () => {
    const { world, kernel, disks } = await scene();
    const other = await DiskWorld.in(
      world.directory,
      { rootDisk: "snapshot" },
      fakeVmId(0xabcd_0123_4567),
    );
    await disks.ensure(other.vm, other.image, other.record, never);
    const before = await kernel.devices();
    world.set({ baseLoop: "/dev/loop0" });
    await disks.release(world.vm);
    expect(await kernel.devices()).toEqual(before);
    await disks.ensure(world.vm, world.image, world.record, never);
    await disks.release(world.vm);
    expect(await kernel.devices()).toEqual(before);
  });

  it.each([
    ["with a table", "0 8 snapshot /dev/loop2 /dev/loop2 P 8"],
    ["of a killed dmsetup", ""],
  ])("are one %s with the same first digits of the id", async (_, table) => {
    const { world, kernel, disks } = await scene();
    await kernel.attach("loop2", "/srv/other.cow");
    await kernel.map(name, table, "banger-00123456ffff");
    const before = await kernel.devices();
    await expect(
      disks.ensure(world.vm, world.image, world.record, never),
    ).rejects.toMatchObject({ code: "ERR_ROOT_DISK_BUSY" });
    await disks.release(world.vm);
    expect(await kernel.devices()).toEqual(before);
  });

  it("never mix when VMs start and stop side by side", async () => {
    const { world, kernel, disks } = await scene();
    const other = await DiskWorld.in(
      world.directory,
      // Left by a start that was killed: now somebody else's number.
      { rootDisk: "snapshot", baseLoop: "/dev/loop0" },
      fakeVmId(0xabcd_0123_4567),
    );
    let released: Promise<void> | undefined;
    await disks.ensure(
      world.vm,
      world.image,
      async (names) => {
        await world.record(names);
        if (names.cowLoop === undefined) return;
        // Now the device on the image has nothing on it, as one that was left has.
        released ??= disks.release(other.vm);
        await sleep(50);
      },
      never,
    );
    await released;
    expect(await kernel.devices()).toEqual(whole(world));
  });
});

describe("a device that is in use", () => {
  it("is tried again", async () => {
    const { world, kernel, disks } = await scene();
    await disks.ensure(world.vm, world.image, world.record, never);
    kernel.opened.set(name, 2);
    await disks.release(world.vm);
    expect(await kernel.devices()).toEqual([]);
  });

  it("stays with what is under it, is named, and goes at the next release", async () => {
    const { world, kernel, disks } = await scene();
    await disks.ensure(world.vm, world.image, world.record, never);
    kernel.opened.set(name, 3);
    await expect(disks.release(world.vm)).rejects.toMatchObject({
      code: "ERR_SEVERAL",
      details: expect.arrayContaining([
        expect.stringContaining(`/dev/mapper/${name} is still in use`),
      ]) as string[],
    });
    expect(await kernel.devices()).toEqual(whole(world));
    await disks.release(world.vm);
    expect(await kernel.devices()).toEqual([]);
  });
});

/** Plays a process that ends: from one command on, before or after its effect, nothing works any more. */
class DyingRunner implements CommandRunner {
  readonly #inner: CommandRunner;
  readonly #last: number;
  readonly #effect: boolean;
  #count = 0;
  isDead = false;

  constructor(inner: CommandRunner, last: number, effect: boolean) {
    this.#inner = inner;
    this.#last = last;
    this.#effect = effect;
  }

  async run(command: Command): Promise<CommandResult> {
    if (this.isDead) throw new Error("the process is gone");
    this.#count += 1;
    if (this.#count < this.#last) return this.#inner.run(command);
    if (this.#effect) await this.#inner.run(command);
    this.isDead = true;
    throw new Error("killed");
  }

  async find(program: string): Promise<string | undefined> {
    return this.#inner.find(program);
  }
}

describe("a process that is killed", () => {
  // What one ensure runs: targets, info, twice find and attach and list, twice list, info, create.
  const points = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12].flatMap((command) =>
    [false, true].map((effect) => ({ command, effect })),
  );

  it.each(points)(
    "at command $command, done: $effect, leaves nothing that release or the next ensure does not find",
    async ({ command, effect }) => {
      for (const next of ["release", "ensure"] as const) {
        const { world, kernel } = await scene();
        const dying = new DyingRunner(kernel.commands(), command, effect);
        await expect(
          onKernel(world, kernel, dying).ensure(
            world.vm,
            world.image,
            world.record,
            never,
          ),
        ).rejects.toThrow();
        expect(dying.isDead).toBe(true);
        const disks = onKernel(world, kernel);
        if (next === "ensure") {
          await disks.ensure(world.vm, world.image, world.record, never);
          expect(await kernel.devices()).toEqual(whole(world));
        }
        await disks.release(world.vm);
        expect(await kernel.devices()).toEqual([]);
      }
    },
  );

  it.each([1, 2, 3])(
    "after name %d is recorded and before its device is made",
    async (last) => {
      const { world, kernel } = await scene();
      const dying = new DyingRunner(kernel.commands(), Infinity, false);
      let count = 0;
      await expect(
        onKernel(world, kernel, dying).ensure(
          world.vm,
          world.image,
          async (names) => {
            await world.record(names);
            count += 1;
            dying.isDead = count === last;
            if (dying.isDead) throw new Error("killed");
          },
          never,
        ),
      ).rejects.toThrow();
      expect(await kernel.devices()).toHaveLength(last - 1);
      // Other programs go on, and take the number that the record names.
      if (last < 3) await kernel.attach(`loop${String(last - 1)}`, "/srv/x");
      const disks = onKernel(world, kernel);
      await disks.release(world.vm);
      expect(await kernel.devices()).toEqual(
        last < 3 ? [`loop${String(last - 1)} /srv/x`] : [],
      );
    },
  );

  it.each([
    ["release", false],
    ["release", true],
    ["ensure", false],
    ["ensure", true],
  ] as const)(
    "inside dmsetup leaves a device without a table, which goes with %s, on an old kernel: %s",
    async (next, isOld) => {
      const { world, kernel } = await scene();
      kernel.isOld = isOld;
      const commands = kernel.commands();
      const real = kernel.commands();
      commands.install("dmsetup", async (command) => {
        const { args } = command;
        if (args[0] !== "create") return real.play(command);
        await kernel.map(name, "", args[args.indexOf("--uuid") + 1]);
        return {};
      });
      await expect(
        onKernel(world, kernel, new DyingRunner(commands, 12, true)).ensure(
          world.vm,
          world.image,
          world.record,
          never,
        ),
      ).rejects.toThrow();
      expect(await kernel.devices()).toContain(name);
      const disks = onKernel(world, kernel);
      if (next === "ensure") {
        await disks.ensure(world.vm, world.image, world.record, never);
        expect(await kernel.devices()).toEqual(whole(world));
      }
      await disks.release(world.vm);
      expect(await kernel.devices()).toEqual([]);
    },
  );
});

describe("a step that fails", () => {
  it.each([
    ["losetup", "--read-only"],
    ["losetup", "/dev/loop1"],
    ["dmsetup", "create"],
  ])("%s %s undoes the ones before", async (program, argument) => {
    const { world, kernel, commands, disks } = await scene();
    const real = kernel.commands();
    commands.install(program, (command) =>
      command.args[0] === argument
        ? { exitCode: 1, stderr: "out of luck" }
        : real.play(command),
    );
    await expect(
      disks.ensure(world.vm, world.image, world.record, never),
    ).rejects.toMatchObject({ code: "ERR_COMMAND_FAILED" });
    expect(await kernel.devices()).toEqual([]);
  });

  it.each([0, 1, 2])(
    "undoes them when name %d cannot be recorded",
    async (good) => {
      const { world, kernel, disks } = await scene();
      let count = 0;
      const record = async (): Promise<void> => {
        if (count++ === good) throw new Error("no room");
      };
      await expect(
        disks.ensure(world.vm, world.image, record, never),
      ).rejects.toThrow("no room");
      expect(await kernel.devices()).toEqual([]);
    },
  );

  it("is a cancel, too, which the undo outlives", async () => {
    const { world, kernel, disks } = await scene();
    const cancel = new AbortController();
    kernel.beforeAttach = async (device) => {
      if (device === "loop1") cancel.abort();
    };
    await expect(
      disks.ensure(world.vm, world.image, world.record, cancel.signal),
    ).rejects.toBeInstanceOf(CancelledError);
    expect(await kernel.devices()).toEqual([]);
  });

  it("keeps its cause, and names beside it what could not be undone", async () => {
    const { world, kernel, commands, disks } = await scene();
    const real = kernel.commands();
    commands
      .install("dmsetup", (command) =>
        command.args[0] === "create"
          ? { exitCode: 1, stderr: "no such target" }
          : real.play(command),
      )
      .install("losetup", (command) =>
        command.args[0] === "--detach"
          ? { exitCode: 1, stderr: "out of luck" }
          : real.play(command),
      );
    await expect(
      disks.ensure(world.vm, world.image, world.record, never),
    ).rejects.toMatchObject({
      details: [
        expect.stringContaining("no such target") as string,
        expect.stringContaining("/dev/loop1: losetup") as string,
        expect.stringContaining("/dev/loop0: losetup") as string,
      ],
    });
  });
});

it("gives up when another program takes every number", async () => {
  const { world, kernel, disks } = await scene();
  kernel.beforeAttach = async (device) => {
    await kernel.attach(device, "/srv/other.img").catch(() => undefined);
  };
  await expect(
    disks.ensure(world.vm, world.image, world.record, never),
  ).rejects.toMatchObject({ code: "ERR_COMMAND_FAILED" });
  expect(await kernel.devices()).toHaveLength(4);
});

const missing = await snapshotsMissing();

it.skipIf(missing !== undefined)(
  `makes a disk that keeps what is written to it on this host's device-mapper (${missing ?? "there is one"})`,
  async () => {
    const world = await DiskWorld.in(await temporaryDirectory(), {
      rootDisk: "snapshot",
    });
    const commands = new ExecaCommandRunner();
    const disks = world.disks({ commands, clone: noClone });
    const { path: dmDevice } = disks.drive(world.vm);
    const run = (file: string, ...args: string[]): Promise<CommandResult> =>
      commands.run({ file, args, timeoutMs: 10_000 });
    const text = join(world.directory, "text");
    await writeFile(text, "written by the guest".padEnd(4096));
    await disks.ensure(world.vm, world.image, world.record, never);
    try {
      await run("dd", `if=${text}`, `of=${dmDevice}`, "bs=4096", "conv=fsync");
      await disks.ensure(world.vm, world.image, world.record, never);
      await disks.release(world.vm);
      await disks.ensure(world.vm, world.image, world.record, never);
      const read = await run("dd", `if=${dmDevice}`, "bs=4096", "count=2");
      expect(read.stdout.trimEnd()).toMatch(/^written by the guest +(image )+/);
    } finally {
      await disks.release(world.vm);
    }
    const { stdout } = await run("losetup", "--list", "--output", "BACK-FILE");
    expect(stdout).not.toContain(world.directory);
  },
);

/** Why the test above cannot run here. */
async function snapshotsMissing(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return "not run: this is not root";
  try {
    const { stdout } = await new ExecaCommandRunner().run({
      file: "dmsetup",
      args: ["targets"],
      timeoutMs: 10_000,
    });
    return /^snapshot\s/m.test(stdout)
      ? undefined
      : "not run: this kernel has no target snapshot";
  } catch {
    return "not run: this host has no device-mapper";
  }
}
