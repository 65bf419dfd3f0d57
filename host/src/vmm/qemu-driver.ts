import { rm } from "node:fs/promises";
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
  type VmmNames,
  type VmmSignal,
  type VmmUsage,
  type VmRecord,
} from "@banger/core";
import {
  findByArgument,
  hasArgument,
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
import { readQemuIo } from "./qemu-io.js";
import { qmpCommand } from "./qmp-client.js";
import { VmmLaunchError } from "./vmm-errors.js";
import {
  beginLog,
  endVmm,
  lastLines,
  sendSignal,
  startVmm,
  waitForEnd,
} from "./vmm-process.js";

/** Longest wait for QEMU to open its monitor and report that the guest runs, ms. */
const launchLimitMs = 30_000;

/** VMs as detached `qemu-system-x86_64` processes, watched through /proc and their QMP monitor. */
export class QemuDriver implements VmmDriver {
  readonly id = "qemu";
  readonly features: VmmFeatures = {
    agentTransport: "virtio-serial",
    endsOn: "power-off",
    nics: ["user", "tap"],
    diskFormats: ["qcow2", "raw"],
    snapshot: true,
    hotplug: true,
    balloon: true,
    jail: false,
  };
  readonly #commands: CommandRunner;
  /** A daemon that begins looks for the VMMs of all its VMs at once. */
  readonly #commandLines = new SharedScan(readCommandLines);

  constructor({ commands }: { commands: CommandRunner }) {
    this.#commands = commands;
  }

  names(): VmmNames {
    return {};
  }

  async launch(launch: VmmLaunch, signal: AbortSignal): Promise<VmHandles> {
    const { vm } = launch;
    const program = await this.#commands.find("qemu-system-x86_64");
    if (program === undefined) throw new ToolMissingError("qemu-system-x86_64");
    throwIfCancelled(signal, `starting ${vm.name}`);
    const logPath = vmmLog(vm);
    const args = qemuArguments(launch);
    // QEMU itself opens this one.
    await beginLog(consoleLog(vm));
    await beginLog(logPath);
    let identity: ProcessIdentity | undefined;
    try {
      const started = await startVmm({
        program,
        args,
        stdout: logPath,
        stderr: logPath,
      });
      ({ identity } = started);
      await Promise.race([
        this.#waitRunning(vm, identity, signal),
        started.failed,
      ]);
      return identity;
    } catch (error) {
      if (identity) await endVmm(identity);
      throwIfCancelled(signal, `starting ${vm.name}`);
      const lines = await lastLines(logPath, 10);
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
    if (await this.#isVmm(vm, handles)) sendSignal(handles, `SIG${signal}`);
  }

  async usage(
    vm: VmRecord,
    handles: VmHandles,
    signal: AbortSignal,
  ): Promise<VmmUsage | undefined> {
    const used = await usageOf(handles);
    const io = used && (await readQemuIo(qmpSocket(vm), signal));
    return io ? { ...used, io } : used;
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

  waitForExit(handles: VmHandles, signal: AbortSignal): Promise<void> {
    return waitForEnd(handles, signal);
  }

  async kill(vm: VmRecord, handles: VmHandles | undefined): Promise<void> {
    if (handles && (await this.#isVmm(vm, handles))) await endVmm(handles);
    // One that was spawned but never recorded has the same argument, one that hangs before it listens too.
    for (const stray of await this.#processesOf(vm)) await endVmm(stray);
    await rm(qmpSocket(vm), { force: true });
  }
}
