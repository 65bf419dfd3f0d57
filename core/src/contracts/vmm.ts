import type { AgentTransport, Image } from "../model/image.js";
import type {
  DiskFormat,
  MachineConfig,
  Nic,
} from "../model/machine-config.js";
import type { VmIo } from "../model/stats.js";
import type { VmHandles, VmRecord, VmRuntime } from "../model/vm.js";
import type { OperationContext } from "../lifecycle/operation.js";

/** What a driver can do; operations ask this and never which driver it is. */
export interface VmmFeatures {
  readonly agentTransport: AgentTransport;
  /** what a guest does so that its VMM ends */
  readonly endsOn: "power-off" | "reboot";
  /** network interfaces that it can present */
  readonly nics: readonly NicKind[];
  /** disk images that it reads, the preferred one first */
  readonly diskFormats: readonly [DiskFormat, ...DiskFormat[]];
  readonly snapshot: boolean;
  readonly hotplug: boolean;
  readonly balloon: boolean;
  readonly jail: boolean;
}

export type NicKind = Nic["backend"]["kind"];

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
  /** absent where the VMM does not count it, or did not answer in time */
  readonly io?: VmIo;
}

/** What a VM asks of the driver that is to run it. */
export interface VmmRequest {
  /** id of a driver, or `auto` */
  readonly driver: string;
  /** `auto` takes KVM where a probe boot has proved it */
  readonly accel: "auto" | Accel;
  /** kind of its network interface */
  readonly nic: NicKind;
  /** of the root disk that it has; absent before its first start */
  readonly diskFormat?: DiskFormat;
}

/** Names that a driver gives to what it makes for a VM, beside those in the VM's own directories. */
export type VmmNames = Pick<VmRuntime, "vsockCid" | "jailDirectory">;

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
  /** Pure: what the record must say before `launch`. */
  names(vm: VmRecord): VmmNames;
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
  /** `undefined` when the process has ended. Never rejects for what the VMM answers; ends early on abort. */
  usage(
    vm: VmRecord,
    handles: VmHandles,
    signal: AbortSignal,
  ): Promise<VmmUsage | undefined>;
  /** Resolves when the process has ended. Never rejects; ends early on abort. */
  waitForExit(handles: VmHandles, signal: AbortSignal): Promise<void>;
  /**
   * Ends the process at once and removes what `launch` made: sockets, the jail. Idempotent; a recycled pid is never signalled. Without
   * `handles` the process is looked up.
   */
  kill(vm: VmRecord, handles: VmHandles | undefined): Promise<void>;
}

/** The drivers of this install and the choice among them. */
export interface VmmDrivers {
  /** @throws VmmDriverNotFoundError */
  get(id: string): VmmDriver;
  /**
   * Pure: looks at what drivers are, not at this host.
   * @throws VmmDriverNotFoundError; VmmUnusableError when no driver, or not the one that is asked for, has what such a VM needs
   */
  requireFit(request: VmmRequest): void;
  /**
   * Chooses for one start. A probe boot, when one is needed, is done once and its answer remembered.
   * @throws VmmUnusableError when the driver or the acceleration that is asked for by name cannot run this VM here
   */
  choose(
    request: VmmRequest,
    image: Image,
    operation: Pick<OperationContext, "signal" | "progress" | "logger">,
  ): Promise<VmmChoice>;
}
