import { join } from "node:path";
import { stat } from "node:fs/promises";
import {
  JoinedError,
  throwIfCancelled,
  ToolMissingError,
  type CommandRunner,
  type HostFacts,
  type Logger,
  type VmHandles,
  type VmId,
  type VmmDriver,
  type VmmFeatures,
  type VmmLaunch,
  type VmmNames,
  type VmmSignal,
  type VmmUsage,
  type VmRecord,
} from "@banger/core";
import { vmFileNames } from "../../files/vm-files.js";
import { readCommandLines, type ProcessIdentity } from "../process-identity.js";
import { usageOf } from "../process-usage.js";
import { SharedScan } from "../shared-scan.js";
import {
  beginLog,
  endVmm,
  sendSignal,
  startVmm,
  waitForEnd,
  type StartedVmm,
} from "../vmm-process.js";
import type { FirecrackerKernels } from "./kernels.js";
import { hasCgroupLimits, removeCgroup } from "./jail-cgroup.js";
import { jailDirectoryOf, removeJailDirectory } from "./jail-directory.js";
import {
  jailedPaths,
  jailerArguments,
  lockJail,
  makeJail,
  programForJail,
} from "./jail.js";
import { jailOwner } from "./jail-owner.js";
import { machineRequests, type MachinePaths } from "./machine-requests.js";
import { FirecrackerIo } from "./firecracker-io.js";
import { firecrackerArguments } from "./process-arguments.js";
import type { FirecrackerProgram, UsableFirecracker } from "./program.js";
import { launchFailure, startMachine } from "./start-machine.js";
import {
  apiSocket,
  findVmProcess,
  isVmProcess,
  linkSockets,
  processesOf,
  removeSockets,
  vsockSocket,
} from "./vm-process.js";

/** Where cgroup v2 is. */
const cgroupRoot = "/sys/fs/cgroup";

/** How this install jails Firecracker. */
export interface JailSettings {
  /** the jailer's absolute path, or its name, which is looked up on the PATH */
  readonly jailer: string;
  /** jail every VM? Needs root */
  readonly jailerEnabled: boolean;
  /** where jails are made: the jailer's chroot base */
  readonly jailBase: string;
}

/** VMs as detached `firecracker` processes, jailed where this process is root, configured and watched through their API. */
export class FirecrackerDriver implements VmmDriver {
  readonly id = "firecracker";
  readonly features: VmmFeatures = {
    agentTransport: "vsock",
    endsOn: "reboot",
    nics: ["tap"],
    diskFormats: ["raw"],
    snapshot: true,
    hotplug: false,
    balloon: true,
    jail: true,
  };
  readonly #commands: CommandRunner;
  readonly #logger: Logger;
  readonly #program: FirecrackerProgram;
  readonly #settings: JailSettings;
  readonly #isJailed: boolean;
  readonly #stateDirectory: string;
  readonly #kernels: FirecrackerKernels;
  /** A daemon that begins looks for the VMMs of all its VMs at once. */
  readonly #commandLines = new SharedScan(readCommandLines);
  readonly #io: FirecrackerIo;

  constructor(options: {
    commands: CommandRunner;
    logger: Logger;
    program: FirecrackerProgram;
    settings: JailSettings;
    hostFacts: Pick<HostFacts, "isRoot">;
    /** whose owner jailed VMMs run as, unless that is root */
    stateDirectory: string;
    kernels: FirecrackerKernels;
  }) {
    this.#commands = options.commands;
    this.#logger = options.logger;
    this.#program = options.program;
    this.#settings = options.settings;
    this.#isJailed = options.hostFacts.isRoot && options.settings.jailerEnabled;
    this.#stateDirectory = options.stateDirectory;
    this.#kernels = options.kernels;
    this.#io = new FirecrackerIo(options);
  }

  names(vm: VmRecord): VmmNames {
    const { jailBase } = this.#settings;
    return {
      vsockCid: vsockCidOf(vm.id),
      ...(this.#isJailed
        ? { jailDirectory: jailDirectoryOf(jailBase, vm.id) }
        : {}),
    };
  }

  async launch(launch: VmmLaunch, signal: AbortSignal): Promise<VmHandles> {
    const { vm, image } = launch;
    const what = `starting ${vm.name}`;
    const program = await this.#program.require(signal);
    const kernel = await this.#kernels.ensure(image, program, signal);
    const { jailDirectory } = vm.runtime;
    const requests = machineRequests(
      launch,
      jailDirectory === undefined ? hostPaths(launch, kernel) : jailedPaths(vm),
    );
    throwIfCancelled(signal, what);
    for (const name of logNames)
      await beginLog(join(vm.runtime.directory, name));
    await removeSockets(vm);
    let identity: ProcessIdentity | undefined;
    try {
      const started = await (jailDirectory === undefined
        ? this.#start(launch, program)
        : this.#startJailed(launch, program, kernel, jailDirectory, signal));
      ({ identity } = started);
      await startMachine(vm, started, requests, signal, async () => {
        if (jailDirectory !== undefined) await lockJail(jailDirectory);
      });
      return identity;
    } catch (error) {
      // First: what it said is read afterwards, and reading may fail.
      await this.#abandon(vm, identity);
      throwIfCancelled(signal, what);
      throw await launchFailure(vm, error);
    }
  }

  #start({ vm }: VmmLaunch, { path }: UsableFirecracker): Promise<StartedVmm> {
    return startVmm({
      program: path,
      args: ["--id", vm.id, ...firecrackerArguments(apiSocket(vm))],
      ...outputsOf(vm),
    });
  }

  async #startJailed(
    launch: VmmLaunch,
    { path }: UsableFirecracker,
    kernel: string,
    jailDirectory: string,
    signal: AbortSignal,
  ): Promise<StartedVmm> {
    const { vm } = launch;
    const jailer = await this.#commands.find(this.#settings.jailer);
    if (jailer === undefined) throw new ToolMissingError(this.#settings.jailer);
    const owner = jailOwner(vm.id, await stat(this.#stateDirectory));
    await makeJail(
      jailDirectory,
      launch,
      kernel,
      owner,
      this.#commands,
      signal,
    );
    await linkSockets(vm, jailDirectory);
    const args = jailerArguments({
      launch,
      jailDirectory,
      program: await programForJail(path, jailDirectory),
      owner,
      limits: await hasCgroupLimits(cgroupRoot),
    });
    throwIfCancelled(signal, `starting ${vm.name}`);
    return startVmm({ program: jailer, args, ...outputsOf(vm) });
  }

  /** What a failed launch began. The first failure is the one that counts; what stays is removed by the next teardown. */
  async #abandon(
    vm: VmRecord,
    identity: ProcessIdentity | undefined,
  ): Promise<void> {
    try {
      // Not looked up: this process is certainly the VM's, whatever it has become.
      if (identity) await endVmm(identity);
      await this.kill(vm, identity);
    } catch (error) {
      const context = { vmId: vm.id, error };
      this.#logger.error("A failed launch left something", context);
    }
  }

  find(
    vm: VmRecord,
    saved: VmHandles | undefined,
  ): Promise<VmHandles | undefined> {
    return findVmProcess(vm, saved, () => this.#commandLines.ask());
  }

  async signal(
    vm: VmRecord,
    handles: VmHandles,
    signal: VmmSignal,
  ): Promise<void> {
    if (await isVmProcess(vm, handles)) sendSignal(handles, `SIG${signal}`);
  }

  async usage(
    vm: VmRecord,
    handles: VmHandles,
    signal: AbortSignal,
  ): Promise<VmmUsage | undefined> {
    const used = await usageOf(handles);
    const io = used && (await this.#io.read(vm, handles, signal));
    return io ? { ...used, io } : used;
  }

  waitForExit(handles: VmHandles, signal: AbortSignal): Promise<void> {
    return waitForEnd(handles, signal);
  }

  /** Runs to the end. @throws JoinedError */
  async kill(vm: VmRecord, handles: VmHandles | undefined): Promise<void> {
    const failures: unknown[] = [];
    const attempt = (step: Promise<void>): Promise<void> =>
      step.catch((error: unknown) => void failures.push(error));
    this.#io.forget(vm);
    await attempt(this.#endSaved(vm, handles));
    // One that was started but never recorded, one that hangs before it listens.
    await attempt(this.#endStrays(vm));
    await attempt(removeSockets(vm));
    const { jailDirectory } = vm.runtime;
    if (jailDirectory !== undefined) {
      // First: it ends what is hidden from us otherwise.
      await attempt(removeCgroup(cgroupRoot, vm.id));
      await attempt(removeJailDirectory(jailDirectory, vm.id));
    }
    if (failures.length > 0)
      throw new JoinedError(`the VMM of ${vm.name} left something`, failures);
  }

  async #endSaved(vm: VmRecord, handles: VmHandles | undefined): Promise<void> {
    if (handles && (await isVmProcess(vm, handles))) await endVmm(handles);
  }

  async #endStrays(vm: VmRecord): Promise<void> {
    const failures: unknown[] = [];
    const strays = await processesOf(vm, () => this.#commandLines.ask());
    for (const stray of strays)
      await endVmm(stray).catch((error: unknown) => void failures.push(error));
    if (failures.length > 0)
      throw new JoinedError(`processes of ${vm.name} are left`, failures);
  }
}

const logNames = [
  vmFileNames.consoleLog,
  vmFileNames.vmmLog,
  vmFileNames.firecrackerLog,
  vmFileNames.firecrackerMetrics,
] as const;

/** The guest's console is Firecracker's standard output. */
function outputsOf({ runtime: { directory } }: VmRecord): {
  stdout: string;
  stderr: string;
  umask: "077";
} {
  return {
    stdout: join(directory, vmFileNames.consoleLog),
    // Not into the log that Firecracker opens itself: it does not append to that.
    stderr: join(directory, vmFileNames.vmmLog),
    umask: "077",
  };
}

function hostPaths(
  { vm, initrdPath }: VmmLaunch,
  kernel: string,
): MachinePaths {
  const { directory } = vm.runtime;
  return {
    kernel,
    initrd: initrdPath,
    log: join(directory, vmFileNames.firecrackerLog),
    metrics: join(directory, vmFileNames.firecrackerMetrics),
    vsock: vsockSocket(vm),
    drive: (_, { path }) => path,
  };
}

/**
 * The guest's address on vsock, from the VM's id. Others may have the same: each Firecracker has a vsock of its own. Pure.
 * @see vsock(7): 0 to 2 and the largest are reserved
 */
function vsockCidOf(id: VmId): number {
  return 3 + (parseInt(id.slice(0, 8), 16) % (0xffff_ffff - 3));
}
