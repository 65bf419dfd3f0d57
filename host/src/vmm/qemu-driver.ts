import { spawn } from "node:child_process";
import { open, readFile, rm, writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import {
  abortAfter,
  ToolMissingError,
  throwIfCancelled,
  type CommandRunner,
  type VmHandles,
  type VmmDriver,
  type VmmFeatures,
  type VmmLaunch,
  type VmmSignal,
  type VmmUsage,
  type VmRecord,
} from "@banger/core";
import { orDiskFull } from "../files/disk-full.js";
import { hasErrorCode } from "../files/error-code.js";
import {
  findByArgument,
  hasArgument,
  identifyProcess,
  isAlive,
  isOwn,
  readCommandLines,
  type ProcessIdentity,
} from "./process-identity.js";
import { holdsListener } from "./process-sockets.js";
import { usageOf } from "./process-usage.js";
import { SharedScan } from "./shared-scan.js";
import {
  consoleLog,
  qemuArguments,
  qmpArgument,
  qmpSocket,
  vmmLog,
} from "./qemu-arguments.js";
import { qmpCommand } from "./qmp-client.js";
import { VmmLaunchError } from "./vmm-errors.js";

/** Longest wait for QEMU to open its monitor and report that the guest runs, ms. */
const launchLimitMs = 30_000;

/** Longest wait for a killed process to be gone, ms. */
const endLimitMs = 10_000;

/**
 * How long to wait between two looks whether a VMM still runs, ms: stops are waited for and take seconds, running VMs must cost an idle
 * daemon little. Pure.
 */
export function exitPauseMs(waitedMs: number): number {
  return waitedMs < 10_000 ? 100 : 500;
}

/** VMs as detached `qemu-system-x86_64` processes, watched through /proc and their QMP monitor. */
export class QemuDriver implements VmmDriver {
  readonly id = "qemu";
  readonly features: VmmFeatures = {
    agentTransport: "virtio-serial",
    snapshot: true,
    hotplug: true,
    balloon: true,
    jail: false,
    rootDisk: "qcow2",
  };
  readonly #commands: CommandRunner;
  /** A daemon that begins looks for the VMMs of all its VMs at once. */
  readonly #commandLines = new SharedScan(readCommandLines);

  constructor({ commands }: { commands: CommandRunner }) {
    this.#commands = commands;
  }

  async launch(launch: VmmLaunch, signal: AbortSignal): Promise<VmHandles> {
    const { vm } = launch;
    const program = await this.#commands.find("qemu-system-x86_64");
    if (program === undefined) throw new ToolMissingError("qemu-system-x86_64");
    throwIfCancelled(signal, `starting ${vm.name}`);
    // Each start begins both logs anew; they are appended to, so that emptying them later is safe.
    const logPath = vmmLog(vm);
    const log = await orDiskFull(
      `beginning the logs of ${vm.name}`,
      async () => {
        await writeFile(consoleLog(vm), "", { mode: 0o600 });
        await writeFile(logPath, "", { mode: 0o600 });
        return open(logPath, "a", 0o600);
      },
    );
    let child;
    let failed: Promise<never>;
    try {
      child = spawn(program, qemuArguments(launch), {
        detached: true,
        stdio: ["ignore", log.fd, log.fd],
        cwd: "/",
      });
      const spawned = child;
      // Before anything is awaited: an `error` that nobody listens to would end the daemon.
      failed = new Promise<never>((_, reject) => {
        spawned.once("error", reject);
      });
      failed.catch(() => undefined);
    } finally {
      await log.close();
    }
    child.unref();
    const { pid } = child;
    const identity = pid === undefined ? undefined : await identifyProcess(pid);
    try {
      if (pid === undefined) await failed;
      if (!identity) throw new Error("it ended at once");
      await Promise.race([this.#waitRunning(vm, identity, signal), failed]);
      return identity;
    } catch (error) {
      if (identity) await end(identity);
      throwIfCancelled(signal, `starting ${vm.name}`);
      const lines = (await readFile(logPath, "utf8"))
        .split("\n")
        .filter((line) => line.trim() !== "")
        .slice(-10);
      throw new VmmLaunchError(vm.name, "did not start", lines, error);
    }
  }

  async #waitRunning(
    vm: VmRecord,
    identity: ProcessIdentity,
    owner: AbortSignal,
  ): Promise<void> {
    const signal = AbortSignal.any([owner, abortAfter(launchLimitMs)]);
    for (;;) {
      try {
        const status = await qmpCommand(qmpSocket(vm), "query-status", signal);
        if ((status as { running?: unknown }).running === true) return;
      } catch (error) {
        if (signal.aborted) throw error;
        // The socket appears a few milliseconds after the process.
        const { code } = error as NodeJS.ErrnoException;
        if (
          code !== "ENOENT" &&
          code !== "ECONNREFUSED" &&
          (await isAlive(identity))
        )
          throw error;
      }
      if (!(await isAlive(identity))) throw new Error("QEMU ended");
      await sleep(5, undefined, { signal });
    }
  }

  async find(
    vm: VmRecord,
    saved: VmHandles | undefined,
  ): Promise<VmHandles | undefined> {
    // The saved process is not looked for among all others when it is one of those that would be found.
    if (
      saved &&
      (await this.#isVmm(vm, saved)) &&
      (await isOwn(saved.pid)) &&
      (await holdsListener(saved.pid, qmpSocket(vm)))
    )
      return saved;
    for (const candidate of await this.#processesOf(vm))
      if (await holdsListener(candidate.pid, qmpSocket(vm))) return candidate;
    return undefined;
  }

  async signal(
    vm: VmRecord,
    handles: VmHandles,
    signal: VmmSignal,
  ): Promise<void> {
    if (await this.#isVmm(vm, handles)) send(handles, `SIG${signal}`);
  }

  usage(handles: VmHandles): Promise<VmmUsage | undefined> {
    return usageOf(handles);
  }

  #processesOf(vm: VmRecord): Promise<readonly ProcessIdentity[]> {
    return findByArgument(qmpArgument(vm), () => this.#commandLines.ask());
  }

  /** Is this very process alive, and was it started for this VM? */
  async #isVmm(vm: VmRecord, identity: ProcessIdentity): Promise<boolean> {
    return (
      (await hasArgument(identity.pid, qmpArgument(vm))) &&
      (await isAlive(identity))
    );
  }

  async waitForExit(handles: VmHandles, signal: AbortSignal): Promise<void> {
    const began = performance.now();
    while (!signal.aborted && (await isAlive(handles))) {
      const pause = exitPauseMs(performance.now() - began);
      await sleep(pause, undefined, { signal, ref: false }).catch(
        () => undefined,
      );
    }
  }

  async kill(vm: VmRecord, handles: VmHandles | undefined): Promise<void> {
    if (handles && (await this.#isVmm(vm, handles))) await end(handles);
    // One that was spawned but never recorded has the same argument, one that hangs before it listens too.
    for (const stray of await this.#processesOf(vm)) await end(stray);
    await rm(qmpSocket(vm), { force: true });
  }
}

/** SIGKILL, and wait until it is gone: QEMU holds locks on its disks until then. */
async function end(identity: ProcessIdentity): Promise<void> {
  const deadline = performance.now() + endLimitMs;
  while (await isAlive(identity)) {
    send(identity, "SIGKILL");
    if (performance.now() > deadline)
      throw new Error(`process ${String(identity.pid)} does not end`);
    await sleep(5);
  }
}

function send({ pid }: ProcessIdentity, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    // It ended since it was looked at.
    if (!hasErrorCode(error, "ESRCH")) throw error;
  }
}
