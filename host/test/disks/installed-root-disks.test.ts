import { constants } from "node:fs";
import {
  copyFile,
  mkdir,
  readdir,
  readFile,
  writeFile,
} from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { PrivilegeMissingError, type RootDiskStrategy } from "@banger/core";
import { FakeCommandRunner, FakePrivileged } from "@banger/core/testing";
import { describe, expect, it } from "vitest";
import { RootDiskProbe } from "../../src/disks/root-disk-probe.js";
import { temporaryDirectory } from "../files/temporary-directory.js";
import { DiskWorld, never, noClone } from "./disk-world.js";
import { FakeKernel } from "./fake-kernel.js";

describe("find", () => {
  it.each([
    [[], "copy", undefined],
    [["root.qcow2.new", "root.raw.new", "root.cow.new"], "qcow2", undefined],
    [["root.qcow2"], undefined, "qcow2"],
    [["root.raw"], "qcow2", "raw"],
    [["root.cow"], "snapshot", "raw"],
  ] as const)(
    "of %j, recorded as %s, is %s",
    async (files, rootDisk, format) => {
      const world = await DiskWorld.in(
        await temporaryDirectory(),
        rootDisk === undefined ? {} : { rootDisk },
      );
      for (const file of files) await writeFile(world.file(file), "");
      const commands = new FakeCommandRunner();
      expect(await world.disks({ commands }).find(world.vm)).toBe(format);
      expect(commands.commands).toEqual([]);
      expect(await readdir(world.vm.runtime.directory)).toEqual(
        [...files].sort(),
      );
    },
  );
});

describe("choose", () => {
  it("takes the best that the host gives for the preferred format", async () => {
    const directory = await temporaryDirectory();
    const world = await DiskWorld.in(directory);
    const kernel = await FakeKernel.in(directory);
    const { image, vm } = world;
    const choose = (
      options: Omit<Parameters<typeof world.disks>[0], "commands">,
      commands = kernel.commands(),
    ): Promise<RootDiskStrategy> =>
      world
        .disks({ devices: kernel.tree, ...options, commands })
        .choose(vm, ["raw", "qcow2"], image, never);
    expect(await choose({ clone: copyFile })).toBe("reflink");
    expect(await choose({ clone: noClone })).toBe("snapshot");
    for (const options of [
      { kind: "none" },
      { kind: "helper", jailerEnabled: false },
      { kind: "helper", helperProblem: new PrivilegeMissingError("asleep") },
    ] as const)
      expect(await choose({ clone: noClone, ...options })).toBe("copy");
    expect(await choose({ clone: noClone, kind: "helper" })).toBe("snapshot");
    const noPrograms = new FakeCommandRunner();
    expect(await choose({ clone: noClone }, noPrograms)).toBe("copy");
    const noTarget = kernel
      .commands()
      .install("dmsetup", () => ({ stdout: "snapshot-origin v1.9.0\n" }));
    expect(await choose({ clone: noClone }, noTarget)).toBe("copy");
    const noMapper = { sys: "/nonexistent", dev: "/nonexistent" };
    expect(await choose({ clone: noClone, devices: noMapper })).toBe("copy");
    const qcow2 = world.disks({ commands: noPrograms, clone: copyFile });
    expect(await qcow2.choose(vm, ["qcow2", "raw"], image, never)).toBe(
      "qcow2",
    );
    expect(await readdir(vm.runtime.directory)).toEqual([]);
  });

  it("tries once, and again after an answer that was none", async () => {
    const world = await DiskWorld.in(await temporaryDirectory());
    let tries = 0;
    const disks = world.disks({
      commands: new FakeCommandRunner(),
      clone: async () => {
        tries += 1;
        if (tries === 1) throw Object.assign(new Error("I/O"), { code: "EIO" });
      },
    });
    const choose = () => disks.choose(world.vm, ["raw"], world.image, never);
    await expect(choose()).rejects.toMatchObject({ code: "EIO" });
    expect(await Promise.all([choose(), choose()])).toEqual([
      "reflink",
      "reflink",
    ]);
    expect(await choose()).toBe("reflink");
    expect(tries).toBe(2);
  });

  it("replaces what a killed trial left, and never runs two at a time", async () => {
    const world = await DiskWorld.in(await temporaryDirectory());
    const { directory } = world.vm.runtime;
    await mkdir(world.file(".reflink-probe"));
    for (const file of ["original", "clone"])
      await writeFile(world.file(`.reflink-probe/${file}`), "left");
    const commands = new FakeCommandRunner();
    let running = 0;
    const clone = async (from: string, to: string): Promise<void> => {
      expect(await readdir(directory)).toEqual([".reflink-probe"]);
      running += 1;
      await sleep(20);
      expect(running).toBe(1);
      await copyFile(from, to, constants.COPYFILE_EXCL);
      running -= 1;
    };
    const privileged = new FakePrivileged(commands, world.install);
    privileged.kind = "none";
    const requests = world.requests();
    const jailerEnabled = true;
    const probe = new RootDiskProbe({
      ...{ privileged, requests, clone, jailerEnabled },
    });
    const best = () => probe.best("raw", directory, undefined);
    const first = best();
    probe.forget();
    expect(await Promise.all([first, best()])).toEqual([
      { strategy: "reflink", obstacles: [] },
      { strategy: "reflink", obstacles: [] },
    ]);
    expect(await readdir(directory)).toEqual([]);
  });

  it("sees a module that was loaded meanwhile", async () => {
    const directory = await temporaryDirectory();
    const world = await DiskWorld.in(directory);
    const kernel = await FakeKernel.in(directory);
    let isLoaded = false;
    const commands = kernel
      .commands()
      .install("dmsetup", () => ({ stdout: isLoaded ? "snapshot v1\n" : "" }));
    const disks = world.disks({
      commands,
      devices: kernel.tree,
      clone: noClone,
    });
    const choose = () => disks.choose(world.vm, ["raw"], world.image, never);
    expect(await choose()).toBe("copy");
    isLoaded = true;
    expect(await choose()).toBe("snapshot");
    isLoaded = false;
    expect(await choose()).toBe("snapshot");
  });

  it.each([
    ["root.qcow2", undefined, "qcow2"],
    ["root.raw", undefined, "reflink"],
    ["root.raw", "copy", "copy"],
    ["root.cow", "copy", "snapshot"],
    ["root.raw", "qcow2", "reflink"],
  ] as const)(
    "keeps a disk %s, recorded as %s, as %s",
    async (file, rootDisk, strategy) => {
      const world = await DiskWorld.in(
        await temporaryDirectory(),
        rootDisk === undefined ? {} : { rootDisk },
      );
      await writeFile(world.file(file), "written by the guest");
      const disks = world.disks({ commands: new FakeCommandRunner() });
      expect(
        await disks.choose(world.vm, ["raw", "qcow2"], world.image, never),
      ).toBe(strategy);
    },
  );

  it("chooses anew when the recorded disk was never made", async () => {
    const world = await DiskWorld.in(await temporaryDirectory(), {
      rootDisk: "qcow2",
    });
    await writeFile(world.file("root.qcow2.new"), "half");
    const disks = world.disks({
      commands: new FakeCommandRunner(),
      clone: noClone,
    });
    expect(await disks.choose(world.vm, ["raw"], world.image, never)).toBe(
      "copy",
    );
  });

  it("refuses a VMM that cannot read the disk that is there, and leaves it", async () => {
    const world = await DiskWorld.in(await temporaryDirectory());
    await writeFile(world.file("root.qcow2"), "written by the guest");
    const disks = world.disks({ commands: new FakeCommandRunner() });
    await expect(
      disks.choose(world.vm, ["raw"], world.image, never),
    ).rejects.toMatchObject({
      code: "ERR_ROOT_DISK_FORMAT",
      message: expect.stringContaining("is qcow2") as string,
    });
    expect(await readdir(world.vm.runtime.directory)).toEqual(["root.qcow2"]);
  });

  it("does not begin after a cancel", async () => {
    const world = await DiskWorld.in(await temporaryDirectory());
    const disks = world.disks({ commands: new FakeCommandRunner() });
    await expect(
      disks.choose(world.vm, ["raw"], world.image, AbortSignal.abort()),
    ).rejects.toMatchObject({ code: "ERR_CANCELLED" });
  });
});

describe("drive", () => {
  it.each([
    [undefined, "qcow2", "VM/root.qcow2"],
    ["qcow2", "qcow2", "VM/root.qcow2"],
    ["reflink", "raw", "VM/root.raw"],
    ["copy", "raw", "VM/root.raw"],
    ["snapshot", "raw", "/dev/mapper/fc-rootfs-00123456"],
  ] as const)("of %s is %s, %s", async (rootDisk, format, path) => {
    const world = await DiskWorld.in(
      await temporaryDirectory(),
      rootDisk === undefined ? {} : { rootDisk },
    );
    const { vm } = world;
    expect(
      world.disks({ commands: new FakeCommandRunner() }).drive(vm),
    ).toEqual({
      path: path.replace("VM", vm.runtime.directory),
      format,
      readOnly: false,
    });
  });

  it("is never outside of the VM's own directory", async () => {
    const world = await DiskWorld.in(await temporaryDirectory());
    world.set({ directory: "/etc" });
    const disks = world.disks({ commands: new FakeCommandRunner() });
    expect(() => disks.drive(world.vm)).toThrow("no directory of the VM");
  });
});

describe("release", () => {
  it("removes what a killed process left of any kind, and nothing else, twice", async () => {
    const world = await DiskWorld.in(await temporaryDirectory());
    const kept = ["boot.initrd.new", "root.cow", "root.qcow2", "root.raw"];
    const left = ["root.cow.new", "root.qcow2.new", "root.raw.new"];
    for (const file of [...kept, ...left])
      await writeFile(world.file(file), "");
    await mkdir(world.file(".reflink-probe"));
    await writeFile(world.file(".reflink-probe/original"), "");
    const disks = world.disks({
      commands: new FakeCommandRunner(),
      devices: { sys: "/nonexistent", dev: "/nonexistent" },
    });
    await disks.release(world.vm);
    expect((await readdir(world.vm.runtime.directory)).sort()).toEqual(kept);
    await disks.release(world.vm);
    expect((await readdir(world.vm.runtime.directory)).sort()).toEqual(kept);
  });

  it("removes the devices also when a file stays, and says so", async () => {
    const directory = await temporaryDirectory();
    const world = await DiskWorld.in(directory, { rootDisk: "snapshot" });
    const kernel = await FakeKernel.in(directory);
    const disks = world.disks({
      commands: kernel.commands(),
      devices: kernel.tree,
    });
    await disks.ensure(world.vm, world.image, world.record, never);
    await mkdir(world.file("root.raw.new"));
    await expect(disks.release(world.vm)).rejects.toThrow("root.raw.new");
    expect(await kernel.devices()).toEqual([]);
  });
});

describe("qcow2", () => {
  it("is made once, under its name only when it is whole", async () => {
    const world = await DiskWorld.in(await temporaryDirectory());
    await writeFile(world.file("root.qcow2.new"), "half");
    const commands = new FakeCommandRunner().install(
      "qemu-img",
      async ({ args }) => {
        expect(await readdir(world.vm.runtime.directory)).toEqual([]);
        await writeFile(args.at(-1) ?? "", "overlay", { flag: "wx" });
        return {};
      },
    );
    const disks = world.disks({ commands });
    await disks.ensure(world.vm, world.image, world.record, never);
    await writeFile(world.file("root.qcow2"), "written by the guest");
    await disks.ensure(world.vm, world.image, world.record, never);
    expect(commands.commands.map(({ args }) => args)).toEqual([
      [
        ...["create", "-q", "-f", "qcow2", "-F", "raw"],
        ...["-b", world.imageFile(), world.file("root.qcow2.new")],
      ],
    ]);
    expect(await readFile(world.file("root.qcow2"), "utf8")).toBe(
      "written by the guest",
    );
  });

  it.each([
    ["out of luck", "ERR_COMMAND_FAILED"],
    ["qemu-img: x: No space left on device", "ERR_DISK_FULL"],
  ])("leaves nothing when qemu-img says %s", async (stderr, code) => {
    const world = await DiskWorld.in(await temporaryDirectory());
    const commands = new FakeCommandRunner().install(
      "qemu-img",
      async ({ args }) => {
        await writeFile(args.at(-1) ?? "", "half");
        return { exitCode: 1, stderr };
      },
    );
    await expect(
      world
        .disks({ commands })
        .ensure(world.vm, world.image, world.record, never),
    ).rejects.toMatchObject({ code });
    expect(await readdir(world.vm.runtime.directory)).toEqual([]);
  });

  it("has no devices to release, and asks no program for them", async () => {
    const world = await DiskWorld.in(await temporaryDirectory());
    const commands = new FakeCommandRunner();
    await world.disks({ commands }).release(world.vm);
    expect(commands.commands).toEqual([]);
  });
});
