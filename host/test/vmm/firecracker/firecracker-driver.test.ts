import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  access,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type { VmHandles, VmRecord } from "@banger/core";
import { fakeVm, fakeVmId } from "@banger/core/testing";
import { describe, expect, it, onTestFinished } from "vitest";
import type { FirecrackerDriver } from "../../../src/vmm/firecracker/firecracker-driver.js";
import {
  apiSocket,
  processesOf,
  vsockSocket,
} from "../../../src/vmm/firecracker/vm-process.js";
import {
  identifyProcess,
  isAlive,
  readCommandLines,
  type ProcessIdentity,
} from "../../../src/vmm/process-identity.js";
import { fakeFirecracker } from "./fake-firecracker.js";

const never = new AbortController().signal;

async function pidsOf(vm: VmRecord): Promise<number[]> {
  return (await processesOf(vm, readCommandLines)).map(({ pid }) => pid);
}

const optionsOf = (vm: VmRecord): string[] => [
  ...["--id", vm.id, "--api-sock", apiSocket(vm)],
];

type Launched = Awaited<ReturnType<typeof fakeFirecracker>> & {
  handles: VmHandles;
};

async function launched(): Promise<Launched> {
  const fake = await fakeFirecracker();
  return { ...fake, handles: await fake.driver.launch(fake.launch, never) };
}

async function started(file: string, args: string[]): Promise<ProcessIdentity> {
  const child = spawn(file, args, { stdio: "ignore" });
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  await once(child, "spawn");
  const identity = await identifyProcess(child.pid ?? 0);
  if (!identity) throw new Error("no process");
  return identity;
}

/** Nothing of the VM runs, and its sockets are gone. */
async function expectNothing(vm: VmRecord): Promise<void> {
  expect(await pidsOf(vm)).toEqual([]);
  for (const path of [apiSocket(vm), vsockSocket(vm)])
    await expect(access(path)).rejects.toMatchObject({ code: "ENOENT" });
}

describe("names", () => {
  it("gives every VM an address on vsock that is not reserved", async () => {
    const { driver } = await fakeFirecracker();
    const cid = (id: string): number | undefined =>
      driver.names(fakeVm({ id: id as VmRecord["id"] })).vsockCid;
    expect(cid("000000000000")).toBe(3);
    expect(cid("00000001ffff")).toBe(4);
    expect(cid("fffffffb0000")).toBe(0xffff_fffe);
    expect(cid("fffffffc0000")).toBe(3);
    expect(cid("ffffffffffff")).toBe(6);
  });

  it("names a jail for root only, and only where it is wanted", async () => {
    const { driver: free } = await fakeFirecracker();
    const { driver: jailed } = await fakeFirecracker(
      {},
      { jailerEnabled: true, jailBase: "/srv/jailer" },
    );
    const vm = fakeVm({ id: fakeVmId(7) });
    expect(free.names(vm).jailDirectory).toBeUndefined();
    expect(jailed.names(vm).jailDirectory).toBe(
      process.getuid?.() === 0
        ? "/srv/jailer/firecracker/000000000007"
        : undefined,
    );
  });
});

describe("launch", () => {
  it("configures the machine and starts the guest", async () => {
    const { vm, handles, requests, driver } = await launched();
    const sent = (await requests()).map(
      ({ method, url }) => `${method} ${url}`,
    );
    expect(sent).toEqual([
      ...["PUT /logger", "PUT /metrics", "PUT /machine-config"],
      ...["PUT /boot-source", "PUT /drives/root"],
      ...["PUT /network-interfaces/net0", "PUT /vsock", "PUT /entropy"],
      "PUT /actions",
    ]);
    expect((await requests()).at(-1)?.body).toEqual({
      action_type: "InstanceStart",
    });
    expect(await pidsOf(vm)).toEqual([handles.pid]);
    // Detached: no signal to the daemon's group reaches it.
    const line = await readFile(`/proc/${String(handles.pid)}/stat`, "utf8");
    const fields = line.slice(line.lastIndexOf(")") + 2).split(" ");
    expect(fields.slice(2, 4).map(Number)).toEqual([handles.pid, handles.pid]);
    const status = await readFile(
      `/proc/${String(handles.pid)}/status`,
      "utf8",
    );
    expect(status).toMatch(/^Umask:\s+0077$/m);
    const { directory } = vm.runtime;
    expect(await readFile(`${directory}/console.log`, "utf8")).toBe(
      "fake console\n",
    );
    for (const name of ["console.log", "vmm.log", "firecracker.log"])
      expect((await stat(`${directory}/${name}`)).mode & 0o777).toBe(0o600);
    await driver.kill(vm, handles);
    await expectNothing(vm);
  });

  it.each(["refuse", "end"] as const)(
    "leaves nothing when Firecracker answers a request with: %s",
    async (does) => {
      for (let at = 0; at < 9; at += 1) {
        const { vm, launch, driver, requests } = await fakeFirecracker({
          at,
          does,
        });
        await expect(driver.launch(launch, never)).rejects.toMatchObject({
          code: "ERR_VMM_LAUNCH",
          ...(does === "refuse"
            ? { message: expect.stringContaining("no, because") as string }
            : {}),
          details: expect.arrayContaining(["fake console"]) as string[],
        });
        expect(await requests()).toHaveLength(at + 1);
        await expectNothing(vm);
      }
    },
    60_000,
  );

  it("leaves no process when its last words cannot be read", async () => {
    const { vm, launch, driver, requests } = await fakeFirecracker({
      at: 1,
      does: "hang",
    });
    const log = `${vm.runtime.directory}/vmm.log`;
    const launching = driver.launch(launch, never);
    launching.catch(() => undefined);
    while ((await requests()).length < 2) await sleep(5);
    const [pid = 0] = await pidsOf(vm);
    await rm(log);
    await symlink("/nonexistent", log);
    process.kill(pid, "SIGTERM");
    await expect(launching).rejects.toMatchObject({ code: "ELOOP" });
    await expectNothing(vm);
  });

  it("can be cancelled in every request, and leaves nothing", async () => {
    for (let at = 0; at < 9; at += 1) {
      const { vm, launch, driver, requests } = await fakeFirecracker({
        at,
        does: "hang",
      });
      const abort = new AbortController();
      const launching = driver.launch(launch, abort.signal);
      launching.catch(() => undefined);
      while ((await requests()).length <= at) await sleep(5);
      abort.abort();
      await expect(launching).rejects.toMatchObject({ code: "ERR_CANCELLED" });
      await expectNothing(vm);
    }
  }, 60_000);

  it("can be cancelled while the API does not appear, and leaves nothing", async () => {
    const { vm, launch, driver } = await fakeFirecracker({ silent: true });
    const abort = new AbortController();
    const launching = driver.launch(launch, abort.signal);
    launching.catch(() => undefined);
    while ((await pidsOf(vm)).length === 0) await sleep(5);
    abort.abort();
    await expect(launching).rejects.toMatchObject({ code: "ERR_CANCELLED" });
    await expectNothing(vm);
  });

  it("fails with the last words of one that ends at once", async () => {
    const { vm, launch, driver } = await fakeFirecracker({ exits: true });
    await expect(driver.launch(launch, never)).rejects.toMatchObject({
      code: "ERR_VMM_LAUNCH",
      details: ["cannot do it", "fake console"],
    });
    await expectNothing(vm);
  });

  it.each([
    ["1.4.1", "ERR_FIRECRACKER_TOO_OLD"],
    ["1.7.0", "ERR_FIRECRACKER_TOO_OLD"],
    ["oops", "ERR_FIRECRACKER_VERSION"],
  ])("refuses version %s before anything is made", async (version, code) => {
    const { vm, launch, driver } = await fakeFirecracker({ version });
    await expect(driver.launch(launch, never)).rejects.toMatchObject({ code });
    await expectNothing(vm);
    await expect(
      access(`${vm.runtime.directory}/console.log`),
    ).rejects.toMatchObject({ code: "ENOENT" });
  });

  it("says so when there is no kernel in the image's file that an older one boots", async () => {
    const { vm, launch, driver } = await fakeFirecracker({ version: "1.8.0" });
    await expect(driver.launch(launch, never)).rejects.toMatchObject({
      code: "ERR_KERNEL_IMAGE",
    });
    await expectNothing(vm);
  });

  it("removes the sockets of a run before, and begins the logs anew", async () => {
    const { vm, launch, driver } = await fakeFirecracker();
    const { directory } = vm.runtime;
    const logs = ["console.log", "firecracker.log", "firecracker.metrics"];
    for (const log of logs)
      await writeFile(`${directory}/${log}`, "of the run before\n");
    for (const path of [apiSocket(vm), vsockSocket(vm)])
      await writeFile(path, "stale");
    const handles = await driver.launch(launch, never);
    await expect(access(vsockSocket(vm))).rejects.toMatchObject({
      code: "ENOENT",
    });
    for (const log of logs)
      expect(await readFile(`${directory}/${log}`, "utf8")).not.toContain(
        "before",
      );
    await driver.kill(vm, handles);
  });
});

describe("find", () => {
  it("finds the process by its socket without saved handles, and with stale ones", async () => {
    const { driver, vm, handles } = await launched();
    expect(await driver.find(vm, undefined)).toEqual(handles);
    expect(await driver.find(vm, handles)).toEqual(handles);
    const recycled = { ...handles, pidStartTicks: handles.pidStartTicks - 1 };
    expect(await driver.find(vm, recycled)).toEqual(handles);
    const foreign = await started("/bin/sleep", ["1000"]);
    expect(await driver.find(vm, foreign)).toEqual(handles);
    await rm(apiSocket(vm));
    expect(await driver.find(vm, undefined)).toEqual(handles);
    await driver.kill(vm, handles);
    expect(await driver.find(vm, handles)).toBeUndefined();
    expect(await driver.find(vm, foreign)).toBeUndefined();
    expect(await isAlive(foreign)).toBe(true);
  });

  it("does not take one for it that has its arguments and no socket", async () => {
    const { driver, vm } = await fakeFirecracker();
    const args = ["-c", "sleep 1000; true", ...optionsOf(vm)];
    const silent = await started("/bin/sh", args);
    expect(await driver.find(vm, silent)).toBeUndefined();
    expect(await driver.find(vm, undefined)).toBeUndefined();
    // Ours, and in the way: a launch that hangs looks like this.
    await driver.kill(vm, undefined);
    expect(await isAlive(silent)).toBe(false);
  });

  it("leaves a process alone that only names the socket, or whose id is another VM's", async () => {
    const { driver, vm } = await fakeFirecracker();
    const socket = apiSocket(vm);
    const others: ProcessIdentity[] = [];
    for (const options of [
      [socket],
      ["--api-sock", socket],
      ["--id", "0000000000ff", "--api-sock", socket],
      ["--id", "--api-sock", vm.id, socket],
      ["--id", vm.id, "--api-sock", `${socket}.other`],
    ])
      others.push(
        await started("/bin/sh", ["-c", "sleep 1000; true", ...options]),
      );
    await driver.kill(vm, undefined);
    for (const other of others) {
      await driver.kill(vm, other);
      expect(await isAlive(other)).toBe(true);
    }
  });

  it.runIf(process.getuid?.() === 0)(
    "leaves a stranger's process alone that has its arguments",
    async () => {
      const { driver, vm } = await fakeFirecracker();
      const child = spawn(
        "/bin/sh",
        ["-c", "sleep 1000; true", ...optionsOf(vm)],
        { stdio: "ignore", uid: 65534 },
      );
      onTestFinished(() => {
        child.kill("SIGKILL");
      });
      await once(child, "spawn");
      const stranger = await identifyProcess(child.pid ?? 0);
      expect(await driver.find(vm, undefined)).toBeUndefined();
      await driver.kill(vm, undefined);
      expect(stranger && (await isAlive(stranger))).toBe(true);
    },
  );
});

describe("signal, waitForExit and kill", () => {
  it("reach the process, never another one", async () => {
    const { driver, vm, handles } = await launched();
    const other = await launched();
    const foreign = await started("/bin/sleep", ["1000"]);
    const recycled = { ...handles, pidStartTicks: handles.pidStartTicks - 1 };
    for (const wrong of [foreign, other.handles, recycled])
      await driver.signal(vm, wrong, "KILL");
    for (const process of [foreign, other.handles, handles])
      expect(await isAlive(process)).toBe(true);
    await driver.signal(vm, handles, "TERM");
    await driver.waitForExit(handles, never);
    expect(await isAlive(handles)).toBe(false);
    await driver.kill(vm, foreign);
    await driver.kill(vm, undefined);
    expect(await isAlive(foreign)).toBe(true);
    expect(await isAlive(other.handles)).toBe(true);
    await expectNothing(vm);
    await other.driver.kill(other.vm, undefined);
    await expectNothing(other.vm);
  });
});

describe("usage", () => {
  async function io(
    driver: FirecrackerDriver,
    vm: VmRecord,
    handles: VmHandles,
  ): Promise<unknown> {
    const usage = await driver.usage(vm, handles, never);
    expect(usage?.residentBytes).toBeGreaterThan(2 ** 20);
    return usage?.io;
  }

  it("sums up what went through the devices since the VMM began", async () => {
    const { driver, vm, handles } = await launched();
    const times = (n: number): unknown => ({
      diskReadBytes: 5 * n,
      diskWrittenBytes: 7 * n,
      networkReceivedBytes: 11 * n,
      networkSentBytes: 13 * n,
    });
    expect(await io(driver, vm, handles)).toEqual(times(1));
    expect(await io(driver, vm, handles)).toEqual(times(2));
    await rm(apiSocket(vm));
    expect(await io(driver, vm, handles)).toBeUndefined();
    await driver.kill(vm, handles);
    expect(await driver.usage(vm, handles, never)).toBeUndefined();
  });

  it("is without what does not answer", async () => {
    const { launch, driver, vm } = await fakeFirecracker({
      at: 9,
      does: "hang",
    });
    const handles = await driver.launch(launch, never);
    expect(await io(driver, vm, handles)).toBeUndefined();
    await driver.kill(vm, handles);
  });
});
