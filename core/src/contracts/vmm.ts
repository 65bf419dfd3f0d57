import type { Image } from "../model/image.js";
import type { MachineConfig } from "../model/machine-config.js";
import type { VmHandles, VmRecord } from "../model/vm.js";
import type { OperationContext } from "../lifecycle/operation.js";

/** What a driver can do; operations ask this and never which driver it is. */
export interface VmmFeatures {
  readonly agentTransport: "virtio-serial" | "vsock";
  readonly snapshot: boolean;
  readonly hotplug: boolean;
  readonly balloon: boolean;
  readonly jail: boolean;
  readonly rootDisk: "qcow2" | "raw";
}

/** How a guest's CPU runs: on the host's CPU, or emulated in software. */
export type Accel = "kvm" | "emulate";

/** Signals that an owner may send to a VMM process. */
export const vmmSignals = [
  "TERM",
  "KILL",
  "INT",
  "HUP",
  "QUIT",
  "USR1",
  "USR2",
  "ABRT",
] as const;

export type VmmSignal = (typeof vmmSignals)[number];

/** What a VMM process has used so far. */
export interface VmmUsage {
  /** CPU time of all its threads since it began, ms */
  readonly cpuMs: number;
  readonly residentBytes: number;
}

/** The driver chosen for a start, and why in one line. */
export interface VmmChoice {
  readonly driver: string;
  readonly accel: Accel;
  readonly reason: string;
}

export interface VmmLaunch {
  readonly vm: VmRecord;
  readonly machine: MachineConfig;
  readonly image: Image;
  readonly accel: Accel;
  /** the initramfs followed by the guest configuration, one file on the host */
  readonly initrdPath: string;
}

/** One kind of virtual machine monitor. A VMM process is detached: it outlives the daemon. */
export interface VmmDriver {
  readonly id: string;
  readonly features: VmmFeatures;
  /**
   * Starts the VMM and returns when it runs the guest's first instruction. On a throw no process is left.
   * @throws VmmLaunchError with the VMM's own last lines
   */
  launch(launch: VmmLaunch, signal: AbortSignal): Promise<VmHandles>;
  /**
   * The VMM process of a VM, looked up by its socket and then by the saved handles; `undefined` when there is none. A process counts
   * only when it really holds this VM's VMM socket, so neither a recycled pid nor one with the right arguments is taken for it.
   */
  find(
    vm: VmRecord,
    saved: VmHandles | undefined,
  ): Promise<VmHandles | undefined>;
  /** Sends a signal; does nothing when the process has ended, and never reaches one with a recycled pid. */
  signal(vm: VmRecord, handles: VmHandles, signal: VmmSignal): Promise<void>;
  /** `undefined` when the process has ended. */
  usage(handles: VmHandles): Promise<VmmUsage | undefined>;
  /** Resolves when the process has ended. Never rejects; ends early on abort. */
  waitForExit(handles: VmHandles, signal: AbortSignal): Promise<void>;
  /** Ends the process at once and removes its sockets. Idempotent; a recycled pid is never signalled. */
  kill(vm: VmRecord, handles: VmHandles | undefined): Promise<void>;
}

/** The drivers of this install and the choice among them. */
export interface VmmDrivers {
  get(id: string): VmmDriver;
  /**
   * Chooses for one start. A probe boot, when one is needed, is done once and its answer remembered.
   * @param wanted `auto` takes KVM when a probe boot has proved it
   */
  choose(
    wanted: "auto" | Accel,
    image: Image,
    operation: Pick<OperationContext, "signal" | "progress" | "logger">,
  ): Promise<VmmChoice>;
}
