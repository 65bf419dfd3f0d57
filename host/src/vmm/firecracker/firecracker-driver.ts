import { join } from "node:path";
import {
  JoinedError,
  throwIfCancelled,
  type Drive,
  type Logger,
  type Privileged,
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
import { snapshotNames } from "../../disks/snapshot-names.js";
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
import { jailDirectoryOf } from "./jail-directory.js";
import {
  jailRequests,
  processIdentity,
  type JailDriveSource,
  type JailRequests,
  type JailRequestSettings,
} from "./jail-requests.js";
import { baseOf, jailedPaths } from "./jail.js";
import { machineRequests, type MachinePaths } from "./machine-requests.js";
import { FirecrackerIo } from "./firecracker-io.js";
import { firecrackerArguments } from "./process-arguments.js";
import type { FirecrackerProgram } from "./program.js";
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

/** How this install jails Firecracker; what the root helper takes from its own settings is without effect there. */
export interface JailSettings extends JailRequestSettings {
  /** jail every VM? Needs root, or the root helper */
  readonly jailerEnabled: boolean;
}

/** VMs as detached `firecracker` processes, jailed where there is somebody who may, configured and watched through their API. */
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
  readonly #privileged: Privileged;
  readonly #logger: Logger;
  readonly #program: FirecrackerProgram;
  readonly #settings: JailSettings;
  readonly #kernels: FirecrackerKernels;
  /** A daemon that begins looks for the VMMs of all its VMs at once. */
  readonly #commandLines = new SharedScan(readCommandLines);
  /** by the directory of jails: a VM stays in the one that it was started in, whatever is configured by now */
  readonly #requests = new Map<string, JailRequests>();
  readonly #io: FirecrackerIo;

  constructor(options: {
    privileged: Privileged;
    logger: Logger;
    program: FirecrackerProgram;
    settings: JailSettings;
    kernels: FirecrackerKernels;
  }) {
    this.#privileged = options.privileged;
    this.#logger = options.logger;
    this.#program = options.program;
    this.#settings = options.settings;
    this.#kernels = options.kernels;
    this.#io = new FirecrackerIo(options);
  }

  names(vm: VmRecord): VmmNames {
    const { jailBase, jailerEnabled } = this.#settings;
    const isJailed = jailerEnabled && this.#privileged.kind !== "none";
    return {
      vsockCid: vsockCidOf(vm.id),
      ...(isJailed ? { jailDirectory: jailDirectoryOf(jailBase, vm.id) } : {}),
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
        ? this.#start(vm, program.path)
        : this.#startJailed(launch, kernel, jailDirectory, signal));
      ({ identity } = started);
      await startMachine(vm, started, requests, signal, async () => {
        if (jailDirectory === undefined) return;
        const { lock } = this.#requestsOf(jailDirectory);
        await this.#privileged.request(lock, { vm: vm.id }, signal);
      });
      return identity;
    } catch (error) {
      // First: what it said is read afterwards, and reading may fail.
      await this.#abandon(vm, identity);
      throwIfCancelled(signal, what);
      throw await launchFailure(vm, error);
    }
  }

  #start(vm: VmRecord, program: string): Promise<StartedVmm> {
    return startVmm({
      program,
      args: ["--id", vm.id, ...firecrackerArguments(apiSocket(vm))],
      stdout: join(vm.runtime.directory, vmFileNames.consoleLog),
      // Not into the log that Firecracker opens itself: it does not append to that.
      stderr: join(vm.runtime.directory, vmFileNames.vmmLog),
      umask: "077",
    });
  }

  async #startJailed(
    { vm, machine, image }: VmmLaunch,
    kernel: string,
    jailDirectory: string,
    signal: AbortSignal,
  ): Promise<StartedVmm> {
    const { make, launch } = this.#requestsOf(jailDirectory);
    const drives = Object.entries(machine.drives).map(
      ([id, drive]) =>
        [id, { ...driveSource(vm, drive), readOnly: drive.readOnly }] as const,
    );
    await this.#privileged.request(
      make,
      {
        vm: vm.id,
        image: image.id,
        kernel: kernel === image.files.kernel ? "image" : "unpacked",
        drives: Object.fromEntries(drives),
      },
      signal,
    );
    await linkSockets(vm, jailDirectory);
    const { vcpus, memoryMiB } = machine;
    const input = { vm: vm.id, vcpus, memoryMiB };
    const identity = await this.#privileged.request(launch, input, signal);
    // Whoever has started it knows when it could not be executed; from here on only its end can be seen.
    return { identity, failed: new Promise<never>(() => undefined) };
  }

  /** In process they work where the VM's jail is; the root helper knows by itself where that must be. */
  #requestsOf(jailDirectory: string): JailRequests {
    const jailBase = baseOf(jailDirectory);
    const known = this.#requests.get(jailBase);
    if (known) return known;
    const requests = jailRequests({ ...this.#settings, jailBase });
    this.#requests.set(jailBase, requests);
    return requests;
  }

  /** What a failed launch began. The first failure is the one that counts; what stays is removed by the next teardown. */
  async #abandon(
    vm: VmRecord,
    identity: ProcessIdentity | undefined,
  ): Promise<void> {
    try {
      // Not looked up: this process is certainly the VM's, whatever it has become.
      if (identity && vm.runtime.jailDirectory === undefined)
        await endVmm(identity);
      await this.kill(vm, identity);
    } catch (error) {
      const context = { vmId: vm.id, error };
      this.#logger.error("A failed launch left something", context);
    }
  }

  async find(
    vm: VmRecord,
    saved: VmHandles | undefined,
  ): Promise<VmHandles | undefined> {
    const found = await findVmProcess(vm, saved, () =>
      this.#commandLines.ask(),
    );
    const { jailDirectory } = vm.runtime;
    // Not everything of a process in a jail is shown to its own user, such as of a program that this one may not read.
    if (
      found ||
      jailDirectory === undefined ||
      this.#privileged.kind !== "helper"
    )
      return found;
    const { find } = this.#requestsOf(jailDirectory);
    const input = { vm: vm.id, ...named(saved) };
    const { signal } = new AbortController();
    return (await this.#privileged.request(find, input, signal)).process;
  }

  async signal(
    vm: VmRecord,
    handles: VmHandles,
    signal: VmmSignal,
  ): Promise<void> {
    const { jailDirectory } = vm.runtime;
    if (jailDirectory === undefined) {
      if (await isVmProcess(vm, handles)) sendSignal(handles, `SIG${signal}`);
      return;
    }
    const { process } = named(handles);
    if (!process) return;
    const input = { vm: vm.id, process, signal };
    await this.#privileged.request(
      this.#requestsOf(jailDirectory).signal,
      input,
      new AbortController().signal,
    );
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
    const { jailDirectory } = vm.runtime;
    const { signal } = new AbortController();
    if (jailDirectory === undefined) {
      await attempt(this.#endSaved(vm, handles));
      // One that was started but never recorded, one that hangs before it listens.
      await attempt(this.#endStrays(vm));
      await attempt(removeSockets(vm));
    } else {
      const { end, remove } = this.#requestsOf(jailDirectory);
      const ask = async (
        request: JailRequests["end"] | JailRequests["remove"],
        input: { vm: VmId; process?: ProcessIdentity },
      ): Promise<void> => {
        await this.#privileged.request(request, input, signal);
      };
      await attempt(ask(end, { vm: vm.id, ...named(handles) }));
      await attempt(removeSockets(vm));
      await attempt(ask(remove, { vm: vm.id }));
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

/** A saved process as a request names it; a damaged file may say anything. */
function named(handles: VmHandles | undefined): {
  process?: ProcessIdentity;
} {
  if (!handles) return {};
  const { pid, pidStartTicks } = handles;
  const { data } = processIdentity.safeParse({ pid, pidStartTicks });
  return data ? { process: data } : {};
}

/** How a request names a drive. Pure. */
function driveSource(vm: VmRecord, { path }: Drive): JailDriveSource {
  if (path === snapshotNames(vm).dmDevice) return { kind: "snapshot" };
  const own = `${vm.runtime.directory}/`;
  return path.startsWith(own)
    ? { kind: "own", file: path.slice(own.length) }
    : { kind: "any", path };
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
