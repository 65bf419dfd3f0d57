import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import {
  chmod,
  chown,
  link,
  lstat,
  mkdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { createServer } from "node:net";
import { dirname } from "node:path";
import type { Install } from "@banger/core";
import { describe, expect, it, onTestFinished } from "vitest";
import {
  jailRequests,
  type JailDrive,
  type JailInput,
  type JailRequests,
} from "../../../src/vmm/firecracker/jail-requests.js";
import { apiSocket } from "../../../src/vmm/firecracker/vm-process.js";
import {
  identifyProcess,
  isAlive,
  type ProcessIdentity,
} from "../../../src/vmm/process-identity.js";
import { temporaryDirectory } from "../../files/temporary-directory.js";
import { fakeFirecracker } from "./fake-firecracker.js";
import { fakeJailer } from "./fake-jailer.js";

const never = new AbortController().signal;
const isRoot = process.getuid?.() === 0;
/** An owner of the install who is not root. */
const nobody = { uid: 65534, gid: 65534 };
const vmId = "000000000007";

interface Scene {
  readonly fake: Awaited<ReturnType<typeof fakeFirecracker>>;
  readonly requests: JailRequests;
  readonly input: JailInput;
  readonly jail: string;
  /** the VM's own directory */
  readonly own: string;
  /** a file that is root's alone */
  readonly secret: string;
  readonly ask: Awaited<
    ReturnType<typeof fakeFirecracker>
  >["privileged"]["request"];
  make(root: JailDrive): Promise<unknown>;
}

async function scene(owner: Install["owner"] = nobody): Promise<Scene> {
  const directory = await temporaryDirectory();
  const jailer = await fakeJailer(directory);
  const jailBase = `${directory}/jails`;
  const fake = await fakeFirecracker(
    {},
    { jailerEnabled: true, jailer, jailBase },
    owner,
  );
  const { vm, launch, privileged, jailRequests: requests } = fake;
  const secret = `${dirname(fake.program)}/secret`;
  await writeFile(secret, "secret", { mode: 0o600 });
  const input: JailInput = {
    vm: vm.id,
    image: launch.image.id,
    kernel: "image",
    drives: { root: { kind: "own", file: "root.raw", readOnly: false } },
  };
  const ask: Scene["ask"] = (request, given, signal) =>
    privileged.request(request, given, signal);
  return {
    ...{ fake, requests, input, secret, ask },
    jail: vm.runtime.jailDirectory ?? "",
    own: vm.runtime.directory,
    make: (root) => ask(requests.make, { ...input, drives: { root } }, never),
  };
}

const own = (file: string, readOnly = false): JailDrive => ({
  ...{ kind: "own", file, readOnly },
});

const isThere = (path: string): Promise<boolean> =>
  lstat(path).then(
    () => true,
    () => false,
  );

async function identityOf(child: ChildProcess): Promise<ProcessIdentity> {
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  await once(child, "spawn");
  const identity = await identifyProcess(child.pid ?? 0);
  if (!identity) throw new Error("it has ended");
  return identity;
}

it("refuse input that is none of ours", () => {
  const requests = jailRequests({ jailBase: "/nonexistent" });
  const image = "debian-000000000000";
  const good = { vm: vmId, image, kernel: "image", drives: {} };
  const makes = (change: object): boolean =>
    requests.make.input.safeParse({ ...good, ...change }).success;
  expect(makes({})).toBe(true);
  for (const change of [
    { vm: "../000000007" },
    { vm: "00000000000G" },
    { image: "../x" },
    { kernel: "/boot/vmlinuz" },
    { jailDirectory: "/etc" },
    { owner: { uid: 0 } },
  ])
    expect(makes(change)).toBe(false);
  const with_ = (id: string, drive: object): boolean =>
    makes({ drives: { [id]: { readOnly: false, ...drive } } });
  expect(with_("root", { kind: "own", file: "disks/a/root.raw" })).toBe(true);
  expect(with_("root", { kind: "snapshot" })).toBe(true);
  for (const file of [
    ...["../../other/root.raw", "/etc/shadow", "", ".", "..", "a/../b", "a//b"],
    ...["a/", ".hidden", "a\0b", "a\n", "x".repeat(300), "a/b/c/d/e"],
  ])
    expect([file, with_("root", { kind: "own", file })]).toEqual([file, false]);
  for (const id of ["../x", "a/b", "", "a-b", "x".repeat(65)])
    expect(with_(id, { kind: "snapshot" })).toBe(false);
  for (const drive of [
    { kind: "device", rdev: 2048 },
    { kind: "shared", path: "/etc/shadow" },
    { kind: "any", path: "relative" },
    { kind: "any", path: "/a\0b" },
    { kind: "snapshot", path: "/dev/sda" },
  ])
    expect(with_("root", drive)).toBe(false);
  const many = Array.from({ length: 27 }, (_, at) => `d${String(at)}`);
  const snapshot = { kind: "snapshot", readOnly: true };
  expect(
    makes({ drives: Object.fromEntries(many.map((id) => [id, snapshot])) }),
  ).toBe(false);
  const process = { pid: 100, pidStartTicks: 1 };
  const signals = (change: object): boolean =>
    requests.signal.input.safeParse({
      ...{ vm: vmId, process, signal: "TERM", ...change },
    }).success;
  expect(signals({})).toBe(true);
  for (const change of [
    ...[-1, 0, 1, 1.5, 4_194_305, "7"].map((pid) => ({
      process: { ...process, pid },
    })),
    { process: { pid: 100 } },
    { signal: "STOP" },
    { signal: 9 },
    { vm: "" },
  ])
    expect(signals(change)).toBe(false);
  for (const change of [{ vcpus: 0 }, { vcpus: 1000 }, { memoryMiB: -1 }])
    expect(
      requests.launch.input.safeParse({
        ...{ vm: vmId, vcpus: 1, memoryMiB: 128, ...change },
      }).success,
    ).toBe(false);
});

describe.runIf(isRoot)("jail.make", () => {
  it("gives a VMM nothing that its owner has not, whatever is in a disk's place", async () => {
    const { own: directory, secret, make, jail } = await scene();
    const disk = `${directory}/root.raw`;
    const before = await stat(secret);
    const refused = async (drive: JailDrive, code: string): Promise<void> => {
      await expect(make(drive)).rejects.toMatchObject({ code });
      const { ctimeMs: _, ...after } = await stat(secret);
      expect(after).toMatchObject({ uid: 0, gid: 0, mode: before.mode });
      expect(await readFile(secret, "utf8")).toBe("secret");
      // Where a file had a name before it was looked at, its owner has not been.
      expect((await stat(jail)).mode & 0o777).toBe(0o700);
    };
    await mkdir(jail, { recursive: true, mode: 0o700 });
    for (const readOnly of [false, true]) {
      await rm(disk, { recursive: true, force: true });
      await symlink(secret, disk);
      await refused(own("root.raw", readOnly), "ERR_FILE_FOREIGN");
      await rm(disk);
      await link(secret, disk);
      await refused(own("root.raw", readOnly), "ERR_FILE_FOREIGN");
      await rm(disk);
      await symlink("/dev/zero", disk);
      await refused(own("root.raw", readOnly), "ERR_FILE_FOREIGN");
      await rm(disk);
      spawnSync("mkfifo", [disk]);
      await chown(disk, nobody.uid, nobody.gid);
      await refused(own("root.raw", readOnly), "ERR_FILE_FOREIGN");
      await rm(disk);
      // A directory above it may lead elsewhere, too.
      await mkdir(`${dirname(secret)}/data`, { recursive: true });
      await writeFile(`${dirname(secret)}/data/disk`, "root's");
      await symlink(`${dirname(secret)}/data`, `${directory}/sub`);
      await refused(own("sub/disk", readOnly), "ERR_FILE_FOREIGN");
      await rm(`${directory}/sub`);
      await refused(
        { kind: "any", path: secret, readOnly },
        "ERR_JAIL_UNUSABLE",
      );
    }
    await mkdir(disk);
    await refused(own("root.raw", true), "ERR_FILE_FOREIGN");
  });

  it("changes no file that has a third name", async () => {
    const { own: directory, make } = await scene();
    await link(`${directory}/root.raw`, `${directory}/another`);
    await expect(make(own("root.raw"))).rejects.toMatchObject({
      code: "ERR_FILE_FOREIGN",
    });
    await rm(`${directory}/another`);
    await make(own("root.raw"));
  });

  it("shows no kernel, initramfs or log that is not the owner's", async () => {
    const { fake, secret, own: directory, make, jail } = await scene();
    for (const file of [
      fake.launch.image.files.kernel,
      `${directory}/boot.initrd`,
      `${directory}/firecracker.log`,
    ]) {
      await rename(file, `${file}-kept`);
      for (const put of [link, symlink]) {
        await put(secret, file);
        await expect(make(own("root.raw"))).rejects.toMatchObject({
          code: "ERR_FILE_FOREIGN",
        });
        await rm(file);
      }
      await rename(`${file}-kept`, file);
    }
    expect(await stat(secret)).toMatchObject({ uid: 0, mode: 0o100600 });
    await make(own("root.raw"));
    expect((await stat(`${jail}/root/boot/kernel`)).uid).toBe(0);
  });

  it("takes a device for the VM's snapshot only when it is the VM's", async () => {
    const { fake, input, jail, ask, own: directory } = await scene();
    const image = `${directory}/root.raw`;
    await writeFile(image, Buffer.alloc(2 ** 20));
    const made = spawnSync("/sbin/losetup", ["--find", "--show", image], {
      encoding: "utf8",
    });
    const device = made.stdout.trim();
    onTestFinished(() => void spawnSync("/sbin/losetup", ["--detach", device]));
    const tree = await temporaryDirectory();
    const devices = { sys: `${tree}/sys`, dev: `${tree}/dev` };
    await mkdir(`${devices.dev}/mapper`, { recursive: true });
    const mapped = `${devices.dev}/mapper/fc-rootfs-00000000`;
    await symlink(device, mapped);
    const number = `7:${device.replace("/dev/loop", "")}`;
    const dm = `${devices.sys}/dev/block/${number}/dm`;
    await mkdir(dm, { recursive: true });
    const requests = jailRequests({
      jailBase: dirname(dirname(jail)),
      devices,
    });
    const snapshot: JailInput = {
      ...input,
      drives: { root: { kind: "snapshot", readOnly: false } },
    };
    const make = () => ask(requests.make, snapshot, never);
    await expect(make()).rejects.toMatchObject({ code: "ERR_FILE_FOREIGN" });
    await writeFile(`${dm}/uuid`, "banger-00000000ffff\n");
    await expect(make()).rejects.toMatchObject({ code: "ERR_FILE_FOREIGN" });
    await writeFile(`${dm}/uuid`, `banger-${vmId}\n`);
    // That of another install's VM of this id has the same UUID.
    const loop = `${devices.sys}/block/loop0`;
    await mkdir(`${devices.sys}/dev/block/${number}/slaves/loop0`, {
      recursive: true,
    });
    for (const name of ["loop", "holders"])
      await mkdir(`${loop}/${name}`, { recursive: true });
    await writeFile(`${loop}/dev`, "7:0\n");
    await writeFile(`${loop}/ro`, "0\n");
    await writeFile(`${loop}/loop/backing_file`, "/root/vms/x/root.cow\n");
    await expect(make()).rejects.toMatchObject({ code: "ERR_FILE_FOREIGN" });
    await writeFile(`${loop}/loop/backing_file`, `${directory}/root.cow\n`);
    await make();
    const node = `${jail}/root/drives/root`;
    expect(await lstat(node)).toMatchObject({
      ...nobody,
      rdev: (await stat(device)).rdev,
      mode: 0o60600,
    });
    // Its owner may give it another name, under which it would open what gets its number next.
    const kept = `${dirname(fake.program)}/kept`;
    await link(node, kept);
    await ask(requests.remove, { vm: input.vm }, never);
    expect(await isThere(jail)).toBe(false);
    expect(await lstat(kept)).toMatchObject({ uid: 0, gid: 0, mode: 0o60000 });
  });

  it("replaces a link in the jail's place, and touches nothing behind it", async () => {
    const { jail, make, ask, requests, input } = await scene();
    const outside = await temporaryDirectory();
    await writeFile(`${outside}/precious`, "keep");
    for (const request of [requests.remove, requests.make]) {
      await mkdir(dirname(jail), { recursive: true });
      await symlink(outside, jail);
      if (request === requests.make) await make(own("root.raw"));
      else await ask(requests.remove, { vm: input.vm }, never);
      expect(await readFile(`${outside}/precious`, "utf8")).toBe("keep");
      expect((await stat(outside)).mode & 0o777).toBe(0o700);
    }
    expect((await lstat(jail)).isDirectory()).toBe(true);
  });
});

/** Makes a directory and a link of the same name, in turn, as fast as it can, in what is its own. */
const swapping = `
use POSIX ();
my ($run, $outside) = @ARGV;
$) = "65534 65534"; $( = 65534; POSIX::setuid(65534);
while (1) {
  mkdir "$run/swap"; open my $file, ">", "$run/swap/file"; close $file if $file;
  rename "$run/swap", "$run/away"; symlink $outside, "$run/swap";
  unlink "$run/away/file"; rmdir "$run/away"; unlink "$run/swap";
}
`;

it.runIf(isRoot)(
  "jail.remove removes nothing outside while the owner swaps directories for links",
  async () => {
    const { jail, make, ask, requests, input } = await scene();
    const outside = await temporaryDirectory();
    await chmod(outside, 0o777);
    await chmod(dirname(dirname(dirname(jail))), 0o755);
    for (let round = 0; round < 20; round += 1) {
      await writeFile(`${outside}/file`, "keep");
      await make(own("root.raw"));
      const run = `${jail}/root/run`;
      const child = spawn("/usr/bin/perl", ["-e", swapping, run, outside], {
        stdio: "ignore",
      });
      await identityOf(child);
      while (!(await isThere(`${run}/swap`)))
        await new Promise((resolve) => setTimeout(resolve, 1));
      // What it adds meanwhile may stay, and goes the next time.
      await ask(requests.remove, { vm: input.vm }, never).catch(
        () => undefined,
      );
      child.kill("SIGKILL");
      await once(child, "exit");
      await ask(requests.remove, { vm: input.vm }, never);
      expect(await isThere(jail)).toBe(false);
      expect(await readFile(`${outside}/file`, "utf8")).toBe("keep");
    }
  },
  60_000,
);

describe.runIf(isRoot)("jail.launch", () => {
  const size = { vcpus: 1, memoryMiB: 128 };

  it("writes the VMM's output to files of the owner only, and makes none", async () => {
    const {
      own: directory,
      secret,
      make,
      ask,
      requests,
      input,
    } = await scene();
    const launch = () => ask(requests.launch, { vm: input.vm, ...size }, never);
    await expect(launch()).rejects.toMatchObject({ code: "ERR_JAIL_UNUSABLE" });
    for (const name of ["console.log", "vmm.log"]) {
      const log = `${directory}/${name}`;
      await rename(log, `${log}-kept`);
      await make(own("root.raw"));
      await expect(launch()).rejects.toMatchObject({ code: "ENOENT" });
      expect(await isThere(log)).toBe(false);
      for (const put of [link, symlink]) {
        await make(own("root.raw"));
        await put(secret, log);
        await expect(launch()).rejects.toMatchObject({
          code: "ERR_FILE_FOREIGN",
        });
        await rm(log);
      }
      await rename(`${log}-kept`, log);
    }
    expect(await readFile(secret, "utf8")).toBe("secret");
  });

  it("launches into a jail once: what its process has made of it is not met by another jailer", async () => {
    const { secret, make, ask, requests, input, jail } = await scene();
    const { vm } = input;
    const launch = () => ask(requests.launch, { vm, ...size }, never);
    await make(own("root.raw"));
    const root = `${jail}/root`;
    const first = await launch();
    while ((await stat(root)).uid === 0)
      await new Promise((resolve) => setTimeout(resolve, 5));
    // The jail is its process's until it is locked.
    await rm(`${root}/firecracker`);
    await symlink(secret, `${root}/firecracker`);
    await expect(make(own("root.raw"))).rejects.toThrow(
      `has a process: ${String(first.pid)}`,
    );
    await expect(ask(requests.remove, { vm }, never)).rejects.toThrow(
      "is left",
    );
    expect((await lstat(`${root}/firecracker`)).isSymbolicLink()).toBe(true);
    await ask(requests.end, { vm }, never);
    await ask(requests.lock, { vm }, never);
    await expect(launch()).rejects.toMatchObject({ code: "ERR_JAIL_UNUSABLE" });
    expect(await readFile(secret, "utf8")).toBe("secret");
    await ask(requests.remove, { vm }, never);
    await make(own("root.raw"));
    await launch();
    await ask(requests.end, { vm }, never);
  });

  it("runs no program that another than root could change", async () => {
    const { fake, make, ask, requests, input } = await scene();
    await make(own("root.raw"));
    const refused = async (): Promise<void> => {
      await expect(
        ask(requests.launch, { vm: input.vm, ...size }, never),
      ).rejects.toMatchObject({ code: "ERR_JAIL_UNUSABLE" });
      expect(await ask(requests.check, {}, never)).toMatchObject({
        problem: expect.stringContaining(fake.program) as string,
      });
    };
    await chmod(fake.program, 0o777);
    await refused();
    await chmod(fake.program, 0o755);
    await chown(fake.program, nobody.uid, nobody.gid);
    await refused();
    await chown(fake.program, 0, 0);
    await chmod(dirname(fake.program), 0o777);
    expect(await ask(requests.check, {}, never)).toHaveProperty("problem");
    await chmod(dirname(fake.program), 0o755);
    expect(await ask(requests.check, {}, never)).toEqual({
      firecracker: fake.program,
    });
  });
});

describe.runIf(isRoot)("jail.signal and jail.end", () => {
  it("end a process in the jail that calls itself a jailer", async () => {
    const { make, ask, requests, input, jail } = await scene();
    await make(own("root.raw"));
    const { vm } = input;
    const script = `use POSIX (); chroot "${jail}/root" or die; chdir "/"; POSIX::setuid(65534); $| = 1; print "in"; sleep 1000`;
    const args = ["--id", vm, "--api-sock", `/run/${vm}.api`];
    const base = dirname(dirname(jail));
    const child = spawn(
      "/usr/bin/perl",
      ["-e", script, "--", ...args, "--chroot-base-dir", base],
      { stdio: ["ignore", "pipe", "ignore"] },
    );
    const said = once(child.stdout, "data");
    const identity = await identityOf(child);
    await said;
    await ask(requests.end, { vm }, never);
    expect(await isAlive(identity)).toBe(false);
  });

  it("reach no process that is not in the jail", async () => {
    const { fake, ask, requests, input, jail } = await scene();
    const handles = await fake.driver.launch(fake.launch, never);
    const { pid, pidStartTicks } = handles;
    const spawned = (uid: number): ChildProcess =>
      spawn("/bin/sleep", ["1000"], { stdio: "ignore", uid, gid: uid });
    const others = [
      await identityOf(spawned(0)),
      await identityOf(spawned(nobody.uid)),
      await identityOf(spawned(1234)),
    ];
    // In a root directory of its own, which is gone: as if it had been in the jail.
    const gone = await temporaryDirectory();
    await mkdir(`${gone}/root`);
    const lost = spawn(
      "/usr/bin/perl",
      ["-e", `chroot "${gone}/root" or die; chdir "/"; sleep 1000`],
      { stdio: "ignore" },
    );
    others.push(await identityOf(lost));
    const rootOf = async (): Promise<number> =>
      (await stat(`/proc/${String(lost.pid)}/root`)).ino;
    const { ino } = await stat("/");
    while ((await rootOf()) === ino)
      await new Promise((resolve) => setTimeout(resolve, 5));
    await rm(`${gone}/root`, { recursive: true });
    const self = await identifyProcess(process.pid);
    const parent = await identifyProcess(process.ppid);
    const reused = { pid, pidStartTicks: pidStartTicks - 1 };
    const all = [...others, self, parent, reused].filter(
      (each) => each !== undefined,
    );
    for (const each of all)
      await ask(
        requests.signal,
        { vm: input.vm, process: each, signal: "KILL" },
        never,
      );
    expect(await isAlive(handles)).toBe(true);
    const elsewhere = jailRequests({ jailBase: await temporaryDirectory() });
    for (const each of [...all, { pid, pidStartTicks }])
      await ask(elsewhere.end, { vm: input.vm, process: each }, never);
    for (const each of others) expect(await isAlive(each)).toBe(true);
    expect(await isAlive(handles)).toBe(true);
    expect(await ask(requests.find, { vm: input.vm }, never)).toEqual({
      process: { pid, pidStartTicks },
    });
    await ask(requests.end, { vm: input.vm, process: reused }, never);
    expect(await isAlive(handles)).toBe(false);
    for (const each of others) expect(await isAlive(each)).toBe(true);
    await ask(requests.remove, { vm: input.vm }, never);
    expect(await isThere(jail)).toBe(false);
  });
});

describe.runIf(isRoot)("jail.lock", () => {
  it("changes sockets of the jail's user only, and follows no link", async () => {
    const { jail, make, ask, requests, input } = await scene();
    await make(own("root.raw"));
    const run = `${jail}/root/run`;
    const api = `${run}/${vmId}.api`;
    const outside = await temporaryDirectory();
    const listen = async (path: string): Promise<void> => {
      const server = createServer();
      onTestFinished(() => void server.close());
      server.listen(path);
      await once(server, "listening");
    };
    const lock = () => ask(requests.lock, { vm: input.vm }, never);
    const refused = async (): Promise<void> => {
      await expect(lock()).rejects.toMatchObject({ code: "ERR_FILE_FOREIGN" });
    };
    await listen(`${outside}/socket`);
    const before = await stat(`${outside}/socket`);
    await symlink(`${outside}/socket`, api);
    await refused();
    await rm(api);
    await writeFile(api, "");
    await chown(api, nobody.uid, nobody.gid);
    await refused();
    await rm(api);
    await listen(api);
    await chown(api, 1234, 1234);
    await refused();
    expect(await stat(api)).toMatchObject({ uid: 1234 });
    await chown(api, nobody.uid, nobody.gid);
    await chmod(api, 0o777);
    await lock();
    await lock();
    expect(await stat(api)).toMatchObject({ ...nobody, mode: 0o140600 });
    expect(await stat(`${jail}/root`)).toMatchObject({
      ...{ uid: 0, mode: 0o40755 },
    });
    await rename(run, `${run}-kept`);
    await writeFile(`${outside}/${vmId}.api`, "");
    await symlink(outside, run);
    await expect(lock()).rejects.toMatchObject({ code: "ENOTDIR" });
    const after = await stat(`${outside}/socket`);
    expect([after.uid, after.mode]).toEqual([before.uid, before.mode]);
  });
});

describe.runIf(isRoot)("a daemon that is not root, with a root helper", () => {
  /** This process without its rights, but for requests. */
  function becomeOwner({ privileged }: Scene["fake"]): void {
    const drop = (): void => {
      process.setgroups?.([nobody.gid]);
      process.setegid?.(nobody.gid);
      process.seteuid?.(nobody.uid);
    };
    const raise = (): void => {
      process.seteuid?.(0);
      process.setegid?.(0);
      process.setgroups?.([0]);
    };
    const asRoot = privileged.request.bind(privileged);
    privileged.kind = "helper";
    privileged.request = async (request, input, signal) => {
      raise();
      try {
        return await asRoot(request, input, signal);
      } finally {
        drop();
      }
    };
    onTestFinished(raise);
    drop();
  }

  it("has a jailed Firecracker, finds it, asks it, signals it and ends it", async () => {
    const world = await scene();
    const { fake, jail } = world;
    const { driver, launch, vm } = fake;
    for (const path of [dirname(fake.program), dirname(dirname(dirname(jail)))])
      await chmod(path, 0o755);
    becomeOwner(fake);
    expect(driver.names(vm).jailDirectory).toBe(jail);
    const handles = await driver.launch(launch, never);
    expect(await isAlive(handles)).toBe(true);
    const status = `/proc/${String(handles.pid)}/status`;
    expect(await readFile(status, "utf8")).toMatch(/^Uid:(\s+65534){4}$/m);
    expect(await stat(apiSocket(vm))).toMatchObject({
      ...nobody,
      mode: 0o140600,
    });
    for (const saved of [handles, undefined])
      expect(await driver.find(vm, saved)).toEqual(handles);
    const usage = await driver.usage(vm, handles, never);
    expect(usage?.residentBytes).toBeGreaterThan(0);
    // What a damaged file says reaches nobody.
    for (const pid of [1, 0, -1, process.pid])
      await driver.signal(vm, { pid, pidStartTicks: 1 }, "KILL");
    // It may reach what is in the jail, and add nothing.
    for (const path of [`${jail}/mine`, `${jail}/root/mine`])
      await expect(writeFile(path, "")).rejects.toMatchObject({
        code: "EACCES",
      });
    const ended = driver.waitForExit(handles, never);
    await driver.signal(vm, handles, "TERM");
    await ended;
    expect(await driver.find(vm, handles)).toBeUndefined();
    await driver.kill(vm, handles);
    expect(await isThere(jail)).toBe(false);
    await driver.kill(vm, undefined);
  });
});
