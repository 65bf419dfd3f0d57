import { spawn } from "node:child_process";
import { once } from "node:events";
import { access, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { VmRecord } from "@banger/core";
import { describe, expect, it, onTestFinished } from "vitest";
import {
  findByArgument,
  identifyProcess,
  isAlive,
  type ProcessIdentity,
} from "../../src/vmm/process-identity.js";
import { qmpArgument, qmpSocket } from "../../src/vmm/qemu-arguments.js";
import { QemuDriver } from "../../src/vmm/qemu-driver.js";
import { exitPauseMs } from "../../src/vmm/vmm-process.js";
import { fakeQemu } from "./fake-qemu.js";
import { sampleLaunch } from "./sample-launch.js";

const never = new AbortController().signal;

async function processesOf(vm: VmRecord): Promise<number[]> {
  return (await findByArgument(qmpArgument(vm))).map(({ pid }) => pid);
}

async function launched(): Promise<{
  driver: QemuDriver;
  vm: VmRecord;
  handles: Awaited<ReturnType<QemuDriver["launch"]>>;
}> {
  const { vm, commands } = await fakeQemu("running");
  const driver = new QemuDriver({ commands });
  const handles = await driver.launch(sampleLaunch({}, vm), never);
  return { driver, vm, handles };
}

/** A process of somebody else's, as after a pid was used again. */
async function foreignProcess(): Promise<ProcessIdentity> {
  const child = spawn("/bin/sleep", ["1000"], { stdio: "ignore" });
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  await once(child, "spawn");
  const identity = await identifyProcess(child.pid ?? 0);
  if (!identity) throw new Error("no process");
  return identity;
}

describe("launch", () => {
  it("returns the process once the guest runs", async () => {
    const { driver, vm, handles } = await launched();
    expect(await processesOf(vm)).toEqual([handles.pid]);
    expect(await isAlive(handles)).toBe(true);
    // Detached: leader of a group of its own, so that no signal to the daemon's group reaches it.
    const line = await readFile(`/proc/${String(handles.pid)}/stat`, "utf8");
    expect(Number(line.slice(line.lastIndexOf(")") + 2).split(" ")[2])).toBe(
      handles.pid,
    );
    await driver.kill(vm, handles);
  });

  it("fails with the last lines of a VMM that ends at once", async () => {
    const { vm, commands } = await fakeQemu("exits");
    const launch = new QemuDriver({ commands }).launch(
      sampleLaunch({}, vm),
      never,
    );
    await expect(launch).rejects.toMatchObject({
      code: "ERR_VMM_LAUNCH",
      details: [
        ...[7, 8, 9, 10, 11, 12, 13, 14, 15].map((n) => `line ${String(n)}`),
        "qemu-system-x86_64: cannot do it",
      ],
    });
    expect(await processesOf(vm)).toEqual([]);
  });

  it("fails and leaves no process when the monitor refuses", async () => {
    const { vm, commands } = await fakeQemu("refuses");
    await expect(
      new QemuDriver({ commands }).launch(sampleLaunch({}, vm), never),
    ).rejects.toMatchObject({
      code: "ERR_VMM_LAUNCH",
      cause: { code: "ERR_VMM_MONITOR" },
    });
    expect(await processesOf(vm)).toEqual([]);
  });

  it.each(["silent", "paused"] as const)(
    "is cancelled by an abort while the VMM is %s, and leaves no process",
    async (behaviour) => {
      const { vm, commands } = await fakeQemu(behaviour);
      const abort = new AbortController();
      const launch = new QemuDriver({ commands }).launch(
        sampleLaunch({}, vm),
        abort.signal,
      );
      launch.catch(() => undefined);
      while ((await processesOf(vm)).length === 0) await sleep(5);
      abort.abort();
      await expect(launch).rejects.toMatchObject({ code: "ERR_CANCELLED" });
      expect(await processesOf(vm)).toEqual([]);
    },
  );

  it("starts nothing after an abort", async () => {
    const { vm, commands } = await fakeQemu("running");
    await expect(
      new QemuDriver({ commands }).launch(
        sampleLaunch({}, vm),
        AbortSignal.abort(),
      ),
    ).rejects.toMatchObject({ code: "ERR_CANCELLED" });
    expect(await processesOf(vm)).toEqual([]);
  });

  it("says so when QEMU is missing or cannot be executed", async () => {
    const { vm, commands, program } = await fakeQemu("running");
    const none = { ...commands, find: () => Promise.resolve(undefined) };
    await expect(
      new QemuDriver({ commands: none }).launch(sampleLaunch({}, vm), never),
    ).rejects.toMatchObject({ code: "ERR_TOOL_MISSING" });
    await writeFile(program, "#!/nonexistent/interpreter\n");
    await expect(
      new QemuDriver({ commands }).launch(sampleLaunch({}, vm), never),
    ).rejects.toMatchObject({
      code: "ERR_VMM_LAUNCH",
      details: [],
      cause: { code: "ENOENT" },
    });
  });

  it("begins the logs of each start anew", async () => {
    const { vm, commands } = await fakeQemu("running");
    const driver = new QemuDriver({ commands });
    const logs = ["console.log", "vmm.log"].map(
      (name) => `${vm.runtime.directory}/${name}`,
    );
    for (const log of logs) await writeFile(log, "of the start before");
    await driver.kill(vm, await driver.launch(sampleLaunch({}, vm), never));
    for (const log of logs) expect(await readFile(log, "utf8")).toBe("");
  });
});

/** A process that has the arguments of this VM's QEMU and does as the fake that was asked for. */
async function impostor(
  vm: VmRecord,
  program: string,
): Promise<ProcessIdentity> {
  const child = spawn(program, ["-qmp", qmpArgument(vm)], { stdio: "ignore" });
  await once(child, "spawn");
  const identity = await identifyProcess(child.pid ?? 0);
  if (!identity) throw new Error("no process");
  return identity;
}

describe("find", () => {
  it("finds the process by its socket without saved handles, and with stale ones", async () => {
    const { driver, vm, handles } = await launched();
    expect(await driver.find(vm, undefined)).toEqual(handles);
    expect(await driver.find(vm, handles)).toEqual(handles);
    expect(await driver.find(vm, await foreignProcess())).toEqual(handles);
    await driver.kill(vm, handles);
    expect(await driver.find(vm, handles)).toBeUndefined();
  });

  it("takes the saved pid for the process only with the start time that was saved", async () => {
    const { driver, vm, handles } = await launched();
    const recycled = { ...handles, pidStartTicks: handles.pidStartTicks - 1 };
    expect(await driver.find(vm, recycled)).toEqual(handles);
    await driver.kill(vm, handles);
    expect(await driver.find(vm, await foreignProcess())).toBeUndefined();
  });

  it("finds a process whose socket file is gone", async () => {
    const { driver, vm, handles } = await launched();
    await rm(qmpSocket(vm));
    expect(await driver.find(vm, undefined)).toEqual(handles);
    expect(await driver.find(vm, handles)).toEqual(handles);
  });

  it("does not take one for it that has its arguments and no socket, and kill ends that one", async () => {
    const { vm, commands, program } = await fakeQemu("silent");
    const driver = new QemuDriver({ commands });
    const silent = await impostor(vm, program);
    expect(await driver.find(vm, silent)).toBeUndefined();
    expect(await driver.find(vm, undefined)).toBeUndefined();
    await driver.kill(vm, undefined);
    expect(await isAlive(silent)).toBe(false);
  });

  it("passes over one without a socket to the one that has it", async () => {
    const { vm, commands } = await fakeQemu("running");
    const silent = await impostor(vm, (await fakeQemu("silent")).program);
    const driver = new QemuDriver({ commands });
    const handles = await driver.launch(sampleLaunch({}, vm), never);
    expect(await driver.find(vm, silent)).toEqual(handles);
    expect(await driver.find(vm, undefined)).toEqual(handles);
  });

  it("does not take another program for it that listens at its path", async () => {
    const { vm, commands } = await fakeQemu("running");
    const server = createServer().listen(qmpSocket(vm));
    onTestFinished(() => void server.close());
    await once(server, "listening");
    const driver = new QemuDriver({ commands });
    const self = await identifyProcess(process.pid);
    expect(await driver.find(vm, self)).toBeUndefined();
    expect(await driver.find(vm, undefined)).toBeUndefined();
    await driver.kill(vm, self);
  });
});

describe("signal", () => {
  it("reaches the process", async () => {
    const { driver, vm, handles } = await launched();
    await driver.signal(vm, handles, "TERM");
    await driver.waitForExit(handles, never);
    expect(await isAlive(handles)).toBe(false);
    await driver.signal(vm, handles, "TERM");
  });

  it("never reaches another program that has the pid now, nor another VM's", async () => {
    const { driver, vm, handles } = await launched();
    const other = await launched();
    const foreign = await foreignProcess();
    await driver.signal(vm, foreign, "KILL");
    await driver.signal(vm, other.handles, "KILL");
    const recycled = { ...handles, pidStartTicks: handles.pidStartTicks - 1 };
    await driver.signal(vm, recycled, "KILL");
    for (const process of [foreign, other.handles, handles])
      expect(await isAlive(process)).toBe(true);
  });
});

describe("usage", () => {
  it("says what the process has used, until it ends", async () => {
    const { driver, vm, handles } = await launched();
    const usage = await driver.usage(vm, handles, never);
    expect(usage?.residentBytes).toBeGreaterThan(2 ** 20);
    expect(usage?.cpuMs).toBeGreaterThan(0);
    await driver.kill(vm, handles);
    expect(await driver.usage(vm, handles, never)).toBeUndefined();
  });
});

describe("kill", () => {
  it("ends the process, removes its socket, and may be repeated", async () => {
    const { driver, vm, handles } = await launched();
    await access(qmpSocket(vm));
    await driver.kill(vm, handles);
    expect(await isAlive(handles)).toBe(false);
    await expect(access(qmpSocket(vm))).rejects.toMatchObject({
      code: "ENOENT",
    });
    await driver.kill(vm, handles);
    await driver.kill(vm, undefined);
  });

  it("ends a process that was spawned and never recorded", async () => {
    const { driver, vm, handles } = await launched();
    await driver.kill(vm, undefined);
    expect(await isAlive(handles)).toBe(false);
  });

  it("never signals another program that has the pid now", async () => {
    const { vm, commands } = await fakeQemu("running");
    const foreign = await foreignProcess();
    const driver = new QemuDriver({ commands });
    await driver.kill(vm, foreign);
    await driver.kill(vm, { ...foreign, pidStartTicks: 1 });
    expect(await isAlive(foreign)).toBe(true);
  });

  it("leaves another VM's process alone", async () => {
    const one = await launched();
    const other = await launched();
    await one.driver.kill(one.vm, other.handles);
    expect(await isAlive(one.handles)).toBe(false);
    expect(await isAlive(other.handles)).toBe(true);
  });
});

describe("waitForExit", () => {
  it("resolves when the process ends, and early on abort", async () => {
    const { driver, vm, handles } = await launched();
    const abort = new AbortController();
    const early = driver.waitForExit(handles, abort.signal);
    abort.abort();
    await early;
    expect(await isAlive(handles)).toBe(true);
    const ended = driver.waitForExit(handles, never);
    await driver.kill(vm, handles);
    await ended;
    await driver.waitForExit(handles, never);
  });
});

it("looks often at first, and seldom at a VM that runs for long", () => {
  expect([0, 9_999, 10_000, 3_600_000].map(exitPauseMs)).toEqual([
    ...[100, 100, 500, 500],
  ]);
});
