import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  access,
  chmod,
  chown,
  link,
  lstat,
  mkdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { connect, createServer } from "node:net";
import { dirname } from "node:path";
import type { VmHandles, VmId, VmmLaunch } from "@banger/core";
import { FakeCommandRunner } from "@banger/core/testing";
import { describe, expect, it, onTestFinished } from "vitest";
import { ExecaCommandRunner } from "../../../src/commands/execa-command-runner.js";
import {
  jailBaseProblem,
  removeJailDirectory,
  requireSafeDirectory,
} from "../../../src/vmm/firecracker/jail-directory.js";
import { connectUnixSocket } from "../../../src/guest-agent/unix-socket.js";
import { FirecrackerApi } from "../../../src/vmm/firecracker/api-client.js";
import { jailOwner } from "../../../src/vmm/firecracker/jail-owner.js";
import { deviceNumbers } from "../../../src/files/device-numbers.js";
import {
  isWritable,
  placeInJail,
} from "../../../src/vmm/firecracker/jail-files.js";
import {
  isJailerOf,
  jailerArguments,
} from "../../../src/vmm/firecracker/jail.js";
import {
  apiSocket,
  isVmProcess,
  processesOf,
  vsockSocket,
} from "../../../src/vmm/firecracker/vm-process.js";
import { isInJail } from "../../../src/vmm/firecracker/jailed-process.js";
import {
  cgroupLimits,
  hasCgroupLimits,
  removeCgroup,
} from "../../../src/vmm/firecracker/jail-cgroup.js";
import {
  identifyProcess,
  isAlive,
  readCommandLines,
} from "../../../src/vmm/process-identity.js";
import { temporaryDirectory } from "../../files/temporary-directory.js";
import { sampleLaunch, sampleMachine } from "../sample-launch.js";
import { fakeFirecracker } from "./fake-firecracker.js";
import { fakeJailer } from "./fake-jailer.js";

const never = new AbortController().signal;
const isRoot = process.getuid?.() === 0;
/** An owner of the install who is not root. */
const nobody = { uid: 65534, gid: 65534 };
/** Of a jail of root's install. */
const users = { owner: nobody, sources: [0, nobody.uid] };

/** @param owner of the install: the one that VMMs run as, unless that is root */
async function jailedFake(
  owner = nobody,
): Promise<
  Awaited<ReturnType<typeof fakeFirecracker>> & { jail: string; jailer: string }
> {
  const directory = await temporaryDirectory();
  const jailer = await fakeJailer(directory);
  const fake = await fakeFirecracker(
    {},
    {
      jailerEnabled: true,
      jailer,
      jailBase: `${directory}/jails`,
    },
    owner,
  );
  await chmod(fake.launch.image.files.kernel, 0o644);
  const jail = fake.vm.runtime.jailDirectory;
  if (jail === undefined) throw new Error("no jail");
  return { ...fake, jail, jailer };
}

async function launched(): Promise<
  Awaited<ReturnType<typeof jailedFake>> & { handles: VmHandles }
> {
  const fake = await jailedFake();
  return { ...fake, handles: await fake.driver.launch(fake.launch, never) };
}

/** Changes its root, and leaves one thread of two. */
const firstThreadEnds = `
import ctypes, os, sys, threading, time
os.chroot(sys.argv[1]); os.chdir("/")
threading.Thread(target=lambda: time.sleep(1000)).start()
ctypes.CDLL(None).syscall(60, 0)
`;

const isThere = (path: string): Promise<boolean> =>
  lstat(path).then(
    () => true,
    () => false,
  );

describe("jailer arguments", () => {
  const jailDirectory = "/srv/jailer/firecracker/000000000001";
  const all = {
    id: sampleLaunch().vm.id,
    machine: sampleMachine(),
    jailDirectory,
    program: "/opt/firecracker",
    owner: { uid: 1000, gid: 100 },
  };

  it("are exactly these", () => {
    expect(jailerArguments({ ...all, limits: true })).toEqual([
      ...["--id", "000000000001", "--exec-file", "/opt/firecracker"],
      ...["--uid", "1000", "--gid", "100", "--chroot-base-dir", "/srv/jailer"],
      ...["--cgroup-version", "2", "--cgroup", "memory.max=805306368"],
      ...["--cgroup", "pids.max=34", "--cgroup", "cpu.max=300000 100000"],
      ...["--", "--api-sock", "/run/000000000001.api", "--level", "Warning"],
    ]);
    expect(jailerArguments({ ...all, limits: false }).join(" ")).not.toContain(
      "cgroup",
    );
  });

  it("tell the jailer of a VM from that of another VM or install", () => {
    const args = jailerArguments({ ...all, limits: false });
    expect(isJailerOf(all, jailDirectory, args)).toBe(true);
    const other = jailDirectory.replace("/srv", "/opt");
    expect(isJailerOf(all, other, args)).toBe(false);
  });
});

describe("cgroup", () => {
  it("limits memory, processes and CPU", () => {
    const machine = sampleMachine({ vcpus: 1, memoryMiB: 128 });
    expect(cgroupLimits(machine)).toEqual([
      ...["memory.max=402653184", "pids.max=33", "cpu.max=200000 100000"],
    ]);
  });

  it("is used only where all its controllers are", async () => {
    const root = await temporaryDirectory();
    expect(await hasCgroupLimits(root)).toBe(false);
    await writeFile(`${root}/cgroup.controllers`, "cpuset cpu io memory\n");
    expect(await hasCgroupLimits(root)).toBe(false);
    await writeFile(`${root}/cgroup.controllers`, "cpu io memory pids\n");
    expect(await hasCgroupLimits(root)).toBe(true);
  });

  it("is told to end all its processes before it is removed", async () => {
    const root = await temporaryDirectory();
    const { vm } = sampleLaunch();
    const cgroup = `${root}/firecracker/${vm.id}`;
    await mkdir(cgroup, { recursive: true });
    await writeFile(`${cgroup}/cgroup.kill`, "");
    // A real one can be removed with its files.
    await expect(removeCgroup(root, vm.id, [0])).rejects.toMatchObject({
      code: "ENOTEMPTY",
    });
    expect(await readFile(`${cgroup}/cgroup.kill`, "utf8")).toBe("1");
  });

  it("stays as it is with a process of somebody else in it", async () => {
    const root = await temporaryDirectory();
    const { vm } = sampleLaunch();
    const cgroup = `${root}/firecracker/${vm.id}`;
    await mkdir(cgroup, { recursive: true });
    await writeFile(`${cgroup}/cgroup.kill`, "");
    const own = process.getuid?.() ?? 0;
    await writeFile(`${cgroup}/cgroup.procs`, `${String(process.pid)}\n`);
    await expect(removeCgroup(root, vm.id, [own + 1])).rejects.toMatchObject({
      code: "ERR_FILE_FOREIGN",
    });
    expect(await readFile(`${cgroup}/cgroup.kill`, "utf8")).toBe("");
    await expect(removeCgroup(root, vm.id, [own])).rejects.toMatchObject({
      code: "ENOTEMPTY",
    });
    expect(await readFile(`${cgroup}/cgroup.kill`, "utf8")).toBe("1");
  });

  it("is that of a VM, whatever a damaged record says", async () => {
    const root = await temporaryDirectory();
    await mkdir(`${root}/firecracker`);
    for (const path of [root, `${root}/firecracker`])
      await writeFile(`${path}/cgroup.kill`, "");
    for (const id of ["", ".", "..", "../firecracker"])
      await expect(removeCgroup(root, id as VmId, [0])).rejects.toThrow(
        "no id",
      );
    for (const path of [root, `${root}/firecracker`])
      expect(await readFile(`${path}/cgroup.kill`, "utf8")).toBe("");
  });

  it("is removed when it is empty, as often as asked", async () => {
    const root = await temporaryDirectory();
    const { vm } = sampleLaunch();
    await mkdir(`${root}/firecracker/${vm.id}`, { recursive: true });
    await removeCgroup(root, vm.id, [0]);
    await removeCgroup(root, vm.id, [0]);
    expect(await isThere(`${root}/firecracker/${vm.id}`)).toBe(false);
    expect(await isThere(`${root}/firecracker`)).toBe(true);
  });
});

describe("jail owner", () => {
  const ofVm = (id: string, uid: number, gid: number): object =>
    jailOwner(id as VmId, { uid, gid });

  it("is the install's, and never root", () => {
    expect(ofVm("ffffff000000", 1000, 100)).toEqual({ uid: 1000, gid: 100 });
    expect(ofVm("ffffff000000", 1000, 0)).toEqual({ uid: 1000, gid: 1000 });
    const own = (uid: number): object => ({ uid, gid: uid });
    expect(ofVm("000000ffffff", 0, 0)).toEqual(own(2_000_000_000));
    expect(ofVm("000001000000", 0, 100)).toEqual(own(2_000_000_001));
    expect(ofVm("ffffff000000", 0, 0)).toEqual(own(2_016_777_215));
  });
});

describe("jail files", () => {
  it("decode device numbers", () => {
    expect(deviceNumbers(0x0703)).toEqual({ major: 7, minor: 3 });
    expect(deviceNumbers(0x10_fd2cn)).toEqual({ major: 253, minor: 300 });
  });

  it("know who may write", () => {
    const may = (mode: number, uid: number, gid: number): boolean =>
      isWritable({ mode, uid: 1, gid: 2 }, { uid, gid });
    expect([may(0o640, 1, 9), may(0o660, 9, 2), may(0o606, 9, 9)]).toEqual([
      ...[true, true, true],
    ]);
    expect([may(0o440, 1, 2), may(0o640, 9, 2), may(0o664, 9, 9)]).toEqual([
      ...[false, false, false],
    ]);
  });

  it.runIf(isRoot)("refuse what is on another file system", async () => {
    const directory = await temporaryDirectory();
    const own = await stat(directory);
    const shm = await stat("/dev/shm");
    expect(own.dev).not.toBe(shm.dev);
    const source = `/dev/shm/banger-test-${String(process.pid)}`;
    await writeFile(source, "");
    onTestFinished(() => rm(source, { force: true }));
    const file = {
      source: { kind: "own", path: source } as const,
      target: `${directory}/disk`,
      readOnly: false,
    };
    await expect(
      placeInJail(file, users, new FakeCommandRunner(), never),
    ).rejects.toMatchObject({
      code: "ERR_JAIL_UNUSABLE",
      hint: expect.stringContaining("vmm.jailer_chroot_base") as string,
    });
  });

  it.runIf(isRoot)("make a node for a block device", async () => {
    const directory = await temporaryDirectory();
    const image = `${directory}/image`;
    await writeFile(image, Buffer.alloc(2 ** 20, "x"));
    const { stdout } = spawnSync("/sbin/losetup", ["--find", "--show", image], {
      encoding: "utf8",
    });
    const device = stdout.trim();
    onTestFinished(() => void spawnSync("/sbin/losetup", ["--detach", device]));
    await symlink(device, `${directory}/mapper`);
    const target = `${directory}/node`;
    await placeInJail(
      {
        source: { kind: "any", path: `${directory}/mapper` },
        target,
        readOnly: true,
      },
      users,
      new ExecaCommandRunner(),
      never,
    );
    const [made, real] = [await lstat(target), await stat(device)];
    expect(made.isBlockDevice()).toBe(true);
    expect(made.rdev).toBe(real.rdev);
    expect(made).toMatchObject(nobody);
    expect(made.mode & 0o777).toBe(0o400);
    expect((await readFile(target)).subarray(0, 1).toString()).toBe("x");
  });

  it.runIf(isRoot)(
    "copy what is shared and only read, whoever may read it",
    async () => {
      const directory = await temporaryDirectory();
      const source = `${directory}/kernel`;
      await writeFile(source, "kernel", { mode: 0o600 });
      const target = `${directory}/jail/boot/in-jail`;
      await mkdir(`${directory}/jail`);
      const file = { source: { kind: "any", path: source } as const, target };
      const commands = new FakeCommandRunner();
      for (const mode of [0o600, 0o644]) {
        await chmod(source, mode);
        const only = { ...file, readOnly: true };
        await placeInJail(only, users, commands, never);
        expect(await readFile(target, "utf8")).toBe("kernel");
        expect(await stat(source)).toMatchObject({ nlink: 1, uid: 0 });
        expect(await stat(target)).toMatchObject({ uid: 0, mode: 0o100444 });
        expect(await stat(dirname(target))).toMatchObject({
          uid: 0,
          mode: 0o40755,
        });
        await rm(target);
      }
      await chmod(source, 0o600);
      await expect(
        placeInJail({ ...file, readOnly: false }, users, commands, never),
      ).rejects.toMatchObject({ code: "ERR_JAIL_UNUSABLE" });
    },
  );
});

describe("removeJailDirectory", () => {
  const { id } = sampleLaunch().vm;

  async function base(): Promise<string> {
    const directory = `${await temporaryDirectory()}/base`;
    await mkdir(`${directory}/firecracker/${id}/root`, { recursive: true });
    return directory;
  }

  it("removes the jail, not what links in it lead to, as often as asked", async () => {
    const directory = await base();
    const jail = `${directory}/firecracker/${id}`;
    const outside = await temporaryDirectory();
    await writeFile(`${outside}/precious`, "keep");
    await symlink(outside, `${jail}/root/link`);
    await link(`${outside}/precious`, `${jail}/root/disk`);
    await removeJailDirectory(jail, id);
    await removeJailDirectory(jail, id);
    expect(await isThere(jail)).toBe(false);
    expect(await readFile(`${outside}/precious`, "utf8")).toBe("keep");
  });

  it("removes a link in a jail's place, and keeps its target", async () => {
    const directory = await base();
    const jail = `${directory}/firecracker/${id}`;
    const outside = await temporaryDirectory();
    await writeFile(`${outside}/precious`, "keep");
    await rm(jail, { recursive: true });
    await symlink(outside, jail);
    await removeJailDirectory(jail, id);
    expect(await isThere(jail)).toBe(false);
    expect(await isThere(`${outside}/precious`)).toBe(true);
  });

  it("refuses a link among the directories above", async () => {
    const directory = await base();
    const elsewhere = `${directory}-elsewhere`;
    await rename(`${directory}/firecracker`, elsewhere);
    await symlink(elsewhere, `${directory}/firecracker`);
    await expect(
      removeJailDirectory(`${directory}/firecracker/${id}`, id),
    ).rejects.toMatchObject({ code: "ERR_JAIL_UNUSABLE" });
    expect(await isThere(`${elsewhere}/${id}/root`)).toBe(true);
  });

  it.runIf(isRoot)(
    "asks nothing of directories in which it has none",
    async () => {
      const directory = await base();
      const jail = `${directory}/firecracker/${id}`;
      await chmod(directory, 0o777);
      await expect(removeJailDirectory(jail, id)).rejects.toMatchObject({
        code: "ERR_JAIL_UNUSABLE",
      });
      expect((await jailBaseProblem(directory))?.message).toContain(directory);
      await rm(jail, { recursive: true });
      await removeJailDirectory(jail, id);
      await chmod(directory, 0o755);
      expect(await jailBaseProblem(directory)).toBeUndefined();
      expect(await jailBaseProblem(`${directory}/new`)).toBeUndefined();
    },
  );

  it.runIf(isRoot)("refuses where others could put something", async () => {
    const directory = await base();
    await chmod(directory, 0o777);
    await expect(requireSafeDirectory(directory)).rejects.toMatchObject({
      code: "ERR_JAIL_UNUSABLE",
    });
    await chmod(directory, 0o1777);
    expect(await requireSafeDirectory(directory)).toBe(true);
    await chmod(directory, 0o755);
    await chown(directory, 1234, 1234);
    await expect(requireSafeDirectory(directory)).rejects.toMatchObject({
      code: "ERR_JAIL_UNUSABLE",
    });
  });

  it.runIf(isRoot)("refuses what something is mounted in", async () => {
    const directory = await base();
    const jail = `${directory}/firecracker/${id}`;
    const point = `${jail}/root/a mount`;
    await mkdir(point);
    const outside = await temporaryDirectory();
    await writeFile(`${outside}/precious`, "keep");
    expect(spawnSync("mount", ["--bind", outside, point]).status).toBe(0);
    const unmount = (): void => void spawnSync("umount", [point]);
    onTestFinished(unmount);
    await expect(removeJailDirectory(jail, id)).rejects.toMatchObject({
      code: "ERR_JAIL_UNUSABLE",
      message: expect.stringContaining(point) as string,
    });
    expect(await isThere(`${outside}/precious`)).toBe(true);
    unmount();
    await removeJailDirectory(jail, id);
    expect(await isThere(jail)).toBe(false);
  });

  it("refuses a path that is no jail of this VM", async () => {
    const directory = await temporaryDirectory();
    for (const path of [directory, `${directory}/${id}`, `/firecracker/x`])
      await expect(removeJailDirectory(path, id)).rejects.toThrow("no jail");
    expect(await isThere(directory)).toBe(true);
  });
});

describe.runIf(isRoot)("a jailed VM", () => {
  it("has exactly what it needs, as the owner's user, and is gone after kill", async () => {
    const { vm, launch, driver, jail, handles } = await launched();
    const root = `${jail}/root`;
    const status = await readFile(
      `/proc/${String(handles.pid)}/status`,
      "utf8",
    );
    expect(status).toMatch(/^Uid:\s+65534\s+65534\s+65534\s+65534$/m);
    expect(status).toMatch(/^Umask:\s+0077$/m);
    expect(await isInJail(handles.pid, jail)).toBe(true);
    expect(await isInJail(process.pid, jail)).toBe(false);
    // The owner reaches the sockets in it, and nobody else.
    expect(await stat(jail)).toMatchObject({
      ...{ uid: 0, gid: nobody.gid, mode: 0o40710 },
    });
    const same = async (a: string, b: string): Promise<boolean> =>
      (await stat(a)).ino === (await stat(b)).ino;
    const disk = launch.machine.drives["root"]?.path ?? "";
    expect(await same(`${root}/drives/root`, disk)).toBe(true);
    expect(await same(`${root}/initrd`, launch.initrdPath)).toBe(true);
    expect(await stat(disk)).toMatchObject(nobody);
    expect((await stat(disk)).mode & 0o777).toBe(0o600);
    // The image is shared: nothing of it has changed, or can be.
    const { kernel } = launch.image.files;
    expect(await stat(kernel)).toMatchObject({ ...nobody, nlink: 1 });
    expect(await readFile(`${root}/boot/kernel`)).toEqual(
      await readFile(kernel),
    );
    for (const [path, mode] of [
      ["", 0o40755],
      ["boot", 0o40755],
      ["boot/kernel", 0o100444],
      ["drives", 0o40755],
    ] as const)
      expect(await stat(`${root}/${path}`)).toMatchObject({ uid: 0, mode });
    expect(await stat(`${root}/run`)).toMatchObject({
      ...nobody,
      mode: 0o40700,
    });
    expect(await readFile(`${root}/requests`, "utf8")).toContain(
      `PUT /vsock HTTP/1.1 {"guest_cid":${String(vm.runtime.vsockCid)},"uds_path":"/run/${vm.id}.vsock"}`,
    );
    expect(await readlink(apiSocket(vm))).toBe(`${root}/run/${vm.id}.api`);
    const socket = connect(apiSocket(vm));
    await once(socket, "connect");
    socket.destroy();
    await stat(vsockSocket(vm));
    expect(await readFile(`${vm.runtime.directory}/console.log`, "utf8")).toBe(
      "fake console\n",
    );

    await driver.kill(vm, handles);
    expect(await isAlive(handles)).toBe(false);
    for (const path of [jail, apiSocket(vm), vsockSocket(vm)])
      expect(await isThere(path)).toBe(false);
    expect(await isThere(disk)).toBe(true);
    await driver.kill(vm, handles);
    await driver.kill(vm, undefined);
  });

  it("has a user of its own where the install is root's", async () => {
    const { driver, launch, vm, jail } = await jailedFake({ uid: 0, gid: 0 });
    const handles = await driver.launch(launch, never);
    expect(await stat(jail)).toMatchObject({ uid: 0, gid: 0, mode: 0o40700 });
    const path = `/proc/${String(handles.pid)}/status`;
    // The first 24 bits of its id are 0.
    for (const key of ["Uid", "Gid"])
      expect(await readFile(path, "utf8")).toMatch(
        new RegExp(`^${key}:(\\s+2000000000){4}$`, "m"),
      );
    const disk = launch.machine.drives["root"]?.path ?? "";
    await driver.kill(vm, handles);
    const owner = { uid: 2_000_000_000, gid: 2_000_000_000 };
    expect(await stat(disk)).toMatchObject({ ...owner, mode: 0o100600 });
  });

  it("is asked nothing through links that it has made", async () => {
    const { vm, jail, driver, handles } = await launched();
    const run = `${jail}/root/run`;
    const outside = await temporaryDirectory();
    let connections = 0;
    const server = createServer((socket) => {
      connections += 1;
      socket.destroy();
    });
    onTestFinished(() => void server.close());
    server.listen(`${outside}/${vm.id}.api`);
    await once(server, "listening");
    const api = new FirecrackerApi(apiSocket(vm));
    await api.putEntropy({}, never);
    const refused = async (): Promise<void> => {
      await expect(api.putEntropy({}, never)).rejects.toMatchObject({
        code: "ERR_FIRECRACKER_UNREACHABLE",
      });
      await expect(
        connectUnixSocket(apiSocket(vm), never),
      ).rejects.toMatchObject({ code: "ERR_AGENT_CONNECTION" });
    };
    await rename(`${run}/${vm.id}.api`, `${run}/kept`);
    await refused();
    await symlink(`${outside}/${vm.id}.api`, `${run}/${vm.id}.api`);
    await refused();
    await rm(`${run}/${vm.id}.api`);
    await writeFile(`${run}/${vm.id}.api`, "");
    await refused();
    await rename(run, `${run}-kept`);
    await symlink(outside, run);
    await refused();
    await rm(run);
    await rename(`${run}-kept`, run);
    await rm(`${run}/${vm.id}.api`);
    await rename(`${run}/kept`, `${run}/${vm.id}.api`);
    await api.putEntropy({}, never);
    expect(connections).toBe(0);
    await driver.kill(vm, handles);
  });

  it("is known whatever it makes of its arguments, also when its first thread has ended", async () => {
    const { vm, driver, jail } = await jailedFake();
    await mkdir(`${jail}/root`, { recursive: true });
    // Only this one's arguments are other ones, and only the rest of its first thread is left.
    const inside = spawn("python3", ["-c", firstThreadEnds, `${jail}/root`], {
      stdio: "ignore",
    });
    onTestFinished(() => {
      inside.kill("SIGKILL");
    });
    await once(inside, "spawn");
    const pid = inside.pid ?? 0;
    const line = (): Promise<string> =>
      readFile(`/proc/${String(pid)}/stat`, "utf8");
    while (!(await line()).includes(") Z "))
      await new Promise((resolve) => setTimeout(resolve, 5));
    const identity = await identifyProcess(pid);
    if (!identity) throw new Error("it has ended");
    expect(await isInJail(pid, jail)).toBe(true);
    expect(await isVmProcess(vm, identity)).toBe(true);
    const earlier = { ...identity, pidStartTicks: identity.pidStartTicks - 1 };
    expect(await isVmProcess(vm, earlier)).toBe(false);
    expect(await processesOf(vm, readCommandLines)).toEqual([identity]);
    await driver.kill(vm, undefined);
    expect(await isAlive(identity)).toBe(false);
  });

  it("is removed as far as it can be, whatever fails", async () => {
    const { vm, driver, jail, handles } = await launched();
    await rm(apiSocket(vm));
    await mkdir(`${apiSocket(vm)}/full`, { recursive: true });
    await expect(driver.kill(vm, handles)).rejects.toMatchObject({
      code: "ERR_SEVERAL",
    });
    expect(await isAlive(handles)).toBe(false);
    expect(await isThere(jail)).toBe(false);
    await rm(apiSocket(vm), { recursive: true });
    await driver.kill(vm, handles);
  });

  it("is found by its socket, its pid file, and what was saved", async () => {
    const { vm, driver, jail, handles } = await launched();
    const pidFile = `${jail}/root/firecracker.pid`;
    const recycled = { ...handles, pidStartTicks: handles.pidStartTicks - 1 };
    for (const saved of [handles, recycled, undefined])
      expect(await driver.find(vm, saved)).toEqual(handles);
    // The process owns its root: what it writes there is not believed.
    for (const text of ["1", String(process.pid), "0", "-1", "x".repeat(1e6)]) {
      await writeFile(pidFile, text);
      expect(await driver.find(vm, undefined)).toEqual(handles);
    }
    await rm(pidFile);
    await symlink("/proc/1/stat", pidFile);
    expect(await driver.find(vm, undefined)).toEqual(handles);
    await rm(jail, { recursive: true });
    expect(await driver.find(vm, undefined)).toBeUndefined();
    expect(await driver.find(vm, recycled)).toBeUndefined();
    expect(await driver.find(vm, handles)).toEqual(handles);
    await driver.kill(vm, handles);
    expect(await isAlive(handles)).toBe(false);
  });

  it("is ended with whatever else runs in its jail, never with a stranger", async () => {
    const { vm, driver, jail, handles } = await launched();
    await writeFile(`${jail}/root/busybox`, await readFile("/bin/busybox"), {
      mode: 0o755,
    });
    const inside = spawn(
      "/usr/sbin/chroot",
      [`${jail}/root`, "/busybox", "sleep", "1000"],
      { stdio: "ignore" },
    );
    const args = ["-c", "sleep 1000; true", "--api-sock", `/run/${vm.id}.api`];
    const stranger = spawn("/bin/sh", args, { stdio: "ignore", ...nobody });
    onTestFinished(() => {
      inside.kill("SIGKILL");
      stranger.kill("SIGKILL");
    });
    await once(stranger, "spawn");
    while (!(await isInJail(inside.pid ?? 0, jail)))
      await new Promise((resolve) => setTimeout(resolve, 5));
    const identity = await identifyProcess(stranger.pid ?? 0);
    expect(await driver.find(vm, identity)).toEqual(handles);
    await driver.kill(vm, undefined);
    expect(await isAlive(handles)).toBe(false);
    expect(await identifyProcess(inside.pid ?? 0)).toBeUndefined();
    expect(identity && (await isAlive(identity))).toBe(true);
    expect(await isThere(jail)).toBe(false);
  });

  it("begins without what a run before has left in its jail", async () => {
    const { vm, launch, driver, jail } = await jailedFake();
    await mkdir(`${jail}/root/run`, { recursive: true });
    await writeFile(`${jail}/root/run/${vm.id}.api`, "stale");
    const outside = await temporaryDirectory();
    await writeFile(`${outside}/precious`, "keep");
    await symlink(outside, `${jail}/root/drives`);
    const handles = await driver.launch(launch, never);
    expect(await isThere(`${outside}/precious`)).toBe(true);
    expect(await isThere(`${outside}/root`)).toBe(false);
    await driver.kill(vm, handles);
  });

  it("has a program of another name under the one that its jail has", async () => {
    const fake = await jailedFake();
    const { program, vm, launch, driver, jail } = fake;
    const versioned = program.replace(/firecracker$/, "firecracker-v1.17.0");
    await rename(program, versioned);
    await symlink(versioned, program);
    const handles = await driver.launch(launch, never);
    const args = await readFile(`${jail}/root/jailer-arguments`, "utf8");
    expect(args).toContain(`--exec-file\n${jail}/firecracker\n`);
    await driver.kill(vm, handles);
    expect(await isThere(versioned)).toBe(true);
  });

  it("leaves nothing when it cannot be started", async () => {
    const attempt = async (
      change: (
        fake: Awaited<ReturnType<typeof jailedFake>>,
      ) => Promise<VmmLaunch>,
    ): Promise<unknown> => {
      // Root's own configuration and plugins may name disks anywhere.
      const fake = await jailedFake({ uid: 0, gid: 0 });
      const launch = await change(fake);
      const failure = await fake.driver
        .launch(launch, never)
        .catch((error: unknown) => error);
      expect(await isThere(fake.jail)).toBe(false);
      expect(await isThere(apiSocket(fake.vm))).toBe(false);
      return failure;
    };
    // It opens all that it is given as its user, so this one is not there.
    expect(
      await attempt(async ({ launch }) => {
        const { machine } = launch;
        const gone = {
          path: "/nonexistent/disk",
          format: "raw",
          readOnly: false,
        } as const;
        return { ...launch, machine: { ...machine, drives: { gone } } };
      }),
    ).toMatchObject({ code: "ERR_VMM_LAUNCH" });
    expect(
      await attempt(async ({ launch }) => {
        const { machine } = launch;
        const shm = {
          path: "/dev/shm/banger-test-disk",
          format: "raw",
          readOnly: false,
        } as const;
        await writeFile(shm.path, "");
        await chmod(shm.path, 0o666);
        onTestFinished(() => rm(shm.path, { force: true }));
        return { ...launch, machine: { ...machine, drives: { shm } } };
      }),
    ).toMatchObject({ code: "ERR_JAIL_UNUSABLE" });
  });

  it("is cancelled while its jailer hangs, and leaves nothing", async () => {
    const { launch, driver, vm, jail, jailer } = await jailedFake();
    await writeFile(jailer, "#!/usr/bin/perl\nsleep 1000;\n");
    const abort = new AbortController();
    const launching = driver.launch(launch, abort.signal);
    launching.catch(() => undefined);
    const running = (): Promise<readonly unknown[]> =>
      processesOf(vm, readCommandLines);
    while ((await running()).length === 0)
      await new Promise((resolve) => setTimeout(resolve, 5));
    expect(await driver.find(vm, undefined)).toBeUndefined();
    abort.abort();
    await expect(launching).rejects.toMatchObject({ code: "ERR_CANCELLED" });
    expect(await running()).toEqual([]);
    expect(await isThere(jail)).toBe(false);
  });

  it("is refused without a jailer", async () => {
    const { launch, driver, vm } = await fakeFirecracker(
      {},
      { jailerEnabled: true, jailer: "/nonexistent/jailer" },
    );
    await expect(driver.launch(launch, never)).rejects.toMatchObject({
      code: "ERR_TOOL_MISSING",
    });
    await expect(access(vm.runtime.jailDirectory ?? "")).rejects.toMatchObject({
      code: "ENOENT",
    });
  });
});
