import {
  link,
  mkdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import type {
  Command,
  CommandResult,
  CommandRunner,
  Install,
  PrivilegedRequest,
} from "@banger/core";
import { fakeImage, FakePrivileged } from "@banger/core/testing";
import { describe, expect, it, onTestFinished } from "vitest";
import { ExecaCommandRunner } from "../../src/commands/execa-command-runner.js";
import type { DiskRequests } from "../../src/disks/disk-requests.js";
import { temporaryDirectory } from "../files/temporary-directory.js";
import { DiskWorld, never } from "./disk-world.js";
import { FakeKernel } from "./fake-kernel.js";

const isRoot = process.getuid?.() === 0;
const image = fakeImage().id;
const name = "fc-rootfs-00123456";
const uuid = "banger-00123456789a";

type Ask = <Input, Output>(
  request: PrivilegedRequest<Input, Output>,
  input: Input,
) => Promise<Output>;

interface Scene {
  readonly world: DiskWorld;
  readonly kernel: FakeKernel;
  readonly requests: DiskRequests;
  readonly ask: Ask;
  readonly vm: DiskWorld["vm"]["id"];
}

/** @param owner of the install; default: who runs the tests */
async function scene(owner?: Install["owner"]): Promise<Scene> {
  const directory = await temporaryDirectory();
  const world = await DiskWorld.in(directory);
  const kernel = await FakeKernel.in(directory);
  const install = owner ? { ...world.install, owner } : world.install;
  const privileged = new FakePrivileged(kernel.commands(), install);
  const requests = world.requests(kernel.tree);
  await writeFile(world.file("root.cow"), Buffer.alloc(4096));
  return {
    ...{ world, kernel, requests, vm: world.vm.id },
    ask: (request, input) => privileged.request(request, input, never),
  };
}

it("refuses input that is none of ours", async () => {
  const { requests } = await scene();
  const part = {
    vm: "00123456789a",
    image,
    part: "base",
    device: "/dev/loop1",
  };
  expect(requests.attachLoop.input.safeParse(part).success).toBe(true);
  for (const wrong of [
    { vm: "../../../etc" },
    { vm: "00123456789A" },
    { vm: "00123456789a\n" },
    { vm: 1 },
    { image: "../other" },
    { image: ".." },
    { image: "" },
    { part: "root.cow" },
    { device: "/dev/sda" },
    { device: "/dev/loop1/../sda" },
    { device: "/dev/loop-control" },
    // As many as an owner could have.
    { device: "/dev/loop4096" },
    { device: "--all" },
    { path: "/etc/shadow" },
  ])
    for (const request of [requests.attachLoop, requests.detachLoop])
      expect(request.input.safeParse({ ...part, ...wrong }).success).toBe(
        false,
      );
  const loops = { baseLoop: "/dev/loop0", cowLoop: "/dev/loop1" };
  const snapshot = { vm: part.vm, image, ...loops };
  expect(requests.createSnapshot.input.safeParse(snapshot).success).toBe(true);
  for (const wrong of [
    { vm: "x" },
    { cowLoop: "7:1" },
    { baseLoop: "/dev/sda" },
    { table: "0 8 linear /dev/sda 0" },
  ])
    expect(
      requests.createSnapshot.input.safeParse({ ...snapshot, ...wrong })
        .success,
    ).toBe(false);
  for (const request of [requests.removeSnapshot, requests.inspectSnapshot])
    for (const wrong of [
      { vm: "fc-rootfs-1" },
      {},
      { vm: part.vm, force: true },
    ])
      expect(request.input.safeParse(wrong).success).toBe(false);
});

describe("attach-loop", () => {
  const overlay = { image, part: "overlay", device: "/dev/loop0" } as const;

  it("takes no link, no other kind of file, and nothing of another user", async () => {
    const { world, kernel, requests, ask, vm } = await scene();
    const attach = () => ask(requests.attachLoop, { ...overlay, vm });
    const cow = world.file("root.cow");
    await rename(cow, `${cow}-real`);
    await symlink(`${cow}-real`, cow);
    await expect(attach()).rejects.toMatchObject({ code: "ERR_FILE_FOREIGN" });
    await rm(cow);
    await mkdir(cow);
    await expect(attach()).rejects.toMatchObject({ code: "ERR_FILE_FOREIGN" });
    await rm(cow, { recursive: true });
    await expect(attach()).rejects.toMatchObject({ code: "ENOENT" });
    expect(await kernel.devices()).toEqual([]);
    // A hard link to a file of whoever runs the tests, in the install of somebody else.
    const theirs = await scene({ uid: 12_345, gid: 12_345 });
    const secret = join(theirs.world.directory, "secret");
    await writeFile(secret, "secret");
    await rm(theirs.world.file("root.cow"));
    await link(secret, theirs.world.file("root.cow"));
    await expect(
      theirs.ask(theirs.requests.attachLoop, { ...overlay, vm }),
    ).rejects.toMatchObject({ code: "ERR_FILE_FOREIGN" });
    expect(await theirs.kernel.devices()).toEqual([]);
  });

  it("takes the file off again when it was swapped meanwhile", async () => {
    const { world, kernel, requests, ask, vm } = await scene();
    const cow = world.file("root.cow");
    kernel.beforeAttach = async () => {
      await rename(cow, `${cow}-old`);
      await writeFile(cow, "another file");
    };
    await expect(
      ask(requests.attachLoop, { ...overlay, vm }),
    ).rejects.toMatchObject({ code: "ERR_FILE_FOREIGN" });
    expect(await kernel.devices()).toEqual([]);
  });
});

describe("detach-loop", () => {
  it("leaves what is somebody else's, or in use", async () => {
    const { world, kernel, requests, ask, vm } = await scene();
    await kernel.attach("loop0", "/srv/other.img");
    await kernel.attach("loop1", world.file("root.cow"));
    await kernel.map("unrelated", "0 8 linear /dev/loop1 0");
    const before = await kernel.devices();
    for (const device of ["/dev/loop0", "/dev/loop1", "/dev/loop2"])
      for (const part of ["base", "overlay"] as const)
        await ask(requests.detachLoop, { vm, image, part, device });
    expect(await kernel.devices()).toEqual(before);
  });

  it("does not follow an owner's links out of the state directory", async () => {
    const { world, kernel, requests, ask, vm } = await scene({
      uid: 12_345,
      gid: 12_345,
    });
    const elsewhere = await temporaryDirectory();
    await kernel.attach("loop0", `${elsewhere}/root.cow`);
    const { directory } = world.vm.runtime;
    await rename(directory, `${directory}-real`);
    await symlink(elsewhere, directory);
    await expect(
      ask(requests.detachLoop, {
        ...{ vm, image, part: "overlay", device: "/dev/loop0" },
      }),
    ).rejects.toMatchObject({ code: "ERR_FILE_FOREIGN" });
    expect(await kernel.devices()).toEqual([`loop0 ${elsewhere}/root.cow`]);
  });
});

describe("create-snapshot", () => {
  it("is over this VM's files only, the image read-only", async () => {
    const { world, kernel, requests, ask, vm } = await scene();
    const create = (baseLoop: string, cowLoop: string) =>
      ask(requests.createSnapshot, { vm, image, baseLoop, cowLoop });
    await kernel.attach("loop0", world.imageFile(), true);
    await kernel.attach("loop1", world.file("root.cow"));
    await kernel.attach("loop2", world.imageFile());
    const other = join(world.directory, "other");
    await writeFile(other, "other");
    await kernel.attach("loop3", other);
    const before = await kernel.devices();
    for (const [base, cow] of [
      ["/dev/loop3", "/dev/loop1"],
      ["/dev/loop0", "/dev/loop3"],
      ["/dev/loop1", "/dev/loop0"],
      ["/dev/loop2", "/dev/loop1"],
      ["/dev/loop9", "/dev/loop1"],
    ] as const)
      await expect(create(base, cow)).rejects.toMatchObject({
        code: "ERR_ROOT_DISK_BUSY",
      });
    expect(await kernel.devices()).toEqual(before);
    await create("/dev/loop0", "/dev/loop1");
    const after = await kernel.devices();
    expect(after).toHaveLength(before.length + 1);
    // Whoever was asked and did not live to answer is asked again.
    await create("/dev/loop0", "/dev/loop1");
    expect(await kernel.devices()).toEqual(after);
  });
});

it("create-snapshot leaves no device over what somebody else put on a loop device meanwhile", async () => {
  const { world, kernel, requests, ask, vm } = await scene();
  const other = join(world.directory, "other");
  await writeFile(other, "other");
  await kernel.attach("loop0", world.imageFile(), true);
  await kernel.attach("loop1", world.file("root.cow"));
  const base = join(kernel.tree.sys, "block/loop0");
  kernel.beforeCreate = async () => {
    await rm(join(base, "loop"), { recursive: true });
    await kernel.attach("loop0", other, true);
  };
  const input = { vm, image, baseLoop: "/dev/loop0", cowLoop: "/dev/loop1" };
  await expect(ask(requests.createSnapshot, input)).rejects.toMatchObject({
    code: "ERR_ROOT_DISK_BUSY",
  });
  expect(await ask(requests.inspectSnapshot, { vm })).toEqual({});
});

describe("remove-snapshot", () => {
  it("leaves another VM's of the same first digits", async () => {
    const { kernel, requests, ask, vm } = await scene();
    await kernel.map(name, "", "banger-00123456ffff");
    expect(await ask(requests.inspectSnapshot, { vm })).toEqual({
      device: "foreign",
    });
    await ask(requests.removeSnapshot, { vm });
    expect(await kernel.devices()).toEqual([name]);
  });

  it("waits until the VM's jail has no node of it any more", async () => {
    const { world, kernel, requests, ask, vm } = await scene();
    await ask(requests.removeSnapshot, { vm });
    await kernel.map(name, "", uuid);
    const jail = join(world.jailBase(), "firecracker", vm);
    await mkdir(jail, { recursive: true });
    await expect(ask(requests.removeSnapshot, { vm })).rejects.toMatchObject({
      code: "ERR_ROOT_DISK_BUSY",
    });
    expect(await kernel.devices()).toEqual([name]);
    await rm(jail, { recursive: true });
    await ask(requests.removeSnapshot, { vm });
    await ask(requests.removeSnapshot, { vm });
    expect(await kernel.devices()).toEqual([]);
  });
});

/** Swaps the overlay for a link to something else right before losetup opens it. */
class SwappingRunner implements CommandRunner {
  readonly #inner = new ExecaCommandRunner();
  readonly #swap: () => Promise<void>;

  constructor(swap: () => Promise<void>) {
    this.#swap = swap;
  }

  async run(command: Command): Promise<CommandResult> {
    if (command.file === "losetup" && command.args[0]?.startsWith("/dev/"))
      await this.#swap();
    return this.#inner.run(command);
  }

  find(program: string): Promise<string | undefined> {
    return this.#inner.find(program);
  }
}

it.runIf(isRoot && (await hasLoops()))(
  "puts no file of root on a real loop device for an owner who is quick",
  async () => {
    const world = await DiskWorld.in(await temporaryDirectory());
    const cow = world.file("root.cow");
    await writeFile(cow, Buffer.alloc(4096));
    const secret = join(world.directory, "secret");
    await writeFile(secret, Buffer.alloc(4096, "secret"));
    const commands = new SwappingRunner(async () => {
      await rm(cow);
      await symlink(secret, cow);
    });
    const privileged = new FakePrivileged(commands, world.install);
    const requests = world.requests();
    const ask: Ask = (request, input) =>
      privileged.request(request, input, never);
    const { device } = await ask(requests.findFreeLoop, {});
    onTestFinished(async () => {
      const command = { file: "losetup", args: ["--detach", device] };
      const [found] = (await attached()).filter((line) => line === secret);
      if (found !== undefined)
        await new ExecaCommandRunner().run({ ...command, timeoutMs: 10_000 });
    });
    await expect(
      ask(requests.attachLoop, {
        ...{ vm: world.vm.id, image, part: "overlay", device },
      }),
    ).rejects.toMatchObject({ code: "ERR_FILE_FOREIGN" });
    expect(await attached()).not.toContain(secret);
    expect((await readFile(secret, "utf8")).startsWith("secret")).toBe(true);
  },
);

async function hasLoops(): Promise<boolean> {
  return stat("/dev/loop-control").then(
    () => true,
    () => false,
  );
}

/** Files on the host's loop devices. */
async function attached(): Promise<readonly string[]> {
  const args = ["--list", "--noheadings", "--raw", "--output", "BACK-FILE"];
  const command = { file: "losetup", args, timeoutMs: 10_000 };
  const { stdout } = await new ExecaCommandRunner().run(command);
  return stdout.trim().split("\n");
}
