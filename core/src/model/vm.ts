import type { Json } from "./json.js";
import type { PortForward } from "./port.js";
import type { VmStats } from "./stats.js";
import type { Timeline } from "./timeline.js";

/** 12 hexadecimal digits, made once and never changed. */
export type VmId = string & { readonly brand: "VmId" };

export type VmState = "created" | "running" | "stopped" | "error";

/** How a root disk comes from its image: an overlay, a shared copy, a device-mapper snapshot or a plain copy. */
export type RootDiskStrategy = "qcow2" | "reflink" | "snapshot" | "copy";

/** A start in progress is an operation, not a state; `delete` is legal from every state. */
const legalMoves: Readonly<Record<VmState, readonly VmState[]>> = {
  created: ["running", "error"],
  running: ["stopped", "error"],
  stopped: ["running", "error"],
  error: ["running", "stopped"],
};

/**
 * Stores ask before they write. Staying is always legal.
 * @throws Error for a move that no operation makes: a broken invariant
 */
export function requireLegalMove(
  vm: { readonly id: string; readonly state: VmState },
  to: VmState = vm.state,
): void {
  if (vm.state === to || legalMoves[vm.state].includes(to)) return;
  throw new Error(`VM ${vm.id} cannot go from ${vm.state} to ${to}`);
}

/** What the owner wants. */
export interface VmSpec {
  /** name of the image at creation */
  readonly image: string;
  readonly vcpus: number;
  /** guest memory, MiB */
  readonly memoryMiB: number;
  /** size of the disk at /root, bytes; sparse on the host */
  readonly diskSizeBytes: number;
  /** may the guest open connections to the outside? */
  readonly nat: boolean;
  /** ids of the plugins enabled for this VM, in load order */
  readonly plugins: readonly string[];
  /** how its CPU runs: `auto` takes KVM where it works */
  readonly accel: "auto" | "kvm" | "emulate";
  /** id of the VMM driver that runs it, or `auto` */
  readonly driver: string;
  /** deleted when the last session that uses it ends */
  readonly ephemeral: boolean;
}

/** An address that reaches a port of the guest. */
export interface Endpoint {
  /** IPv4 address */
  readonly host: string;
  readonly port: number;
}

/**
 * Durable facts, among them every name that teardown needs. Written before the thing they name is made.
 */
export interface VmRuntime {
  /** the VM's own directory: disks, logs, handles; goes with the VM */
  readonly directory: string;
  /** directory of the VM's sockets, short enough for a 108-byte socket path */
  readonly runDirectory: string;
  /** address that reaches the guest from the host */
  readonly guestIp: string;
  readonly ssh: Endpoint;
  /** `<name>.vm`, whoever publishes it */
  readonly dnsName: string;
  readonly networkMode: string;
  /** id of the VMM driver that launched it last */
  readonly driver?: string;
  /** how the guest's CPU runs: `kvm` or `emulate` */
  readonly accel?: string;
  /** TAP device, in network modes that have one */
  readonly tapDevice?: string;
  /** the guest's address on vsock, with drivers whose agent answers there */
  readonly vsockCid?: number;
  /** the VMM's jail, with drivers that have one; goes with the run */
  readonly jailDirectory?: string;
  /** how the root disk was made: fixed by its first start */
  readonly rootDisk?: RootDiskStrategy;
  readonly baseLoop?: string;
  readonly cowLoop?: string;
  readonly dmName?: string;
  readonly dmDevice?: string;
  /** plugins of the last start: cleanup uses this set, whatever is enabled now, also when a stopped VM is deleted */
  readonly startedPlugins: readonly string[];
  /** durable JSON of each plugin, by plugin id; kept until the VM is deleted */
  readonly teardown: Readonly<Record<string, Json>>;
  /** a start began to make things on the host, and no cleanup has removed all of them yet */
  readonly prepared?: true;
  /** one line: why the last start or stop failed */
  readonly lastError?: string;
  /** made by an operation that starts it at once and has not succeeded yet: without that operation there is no VM */
  readonly provisional?: true;
  readonly lastStart?: Timeline;
  /** the spec that a change under way leads to: a daemon that finds it after a crash takes the change back */
  readonly changing?: VmSpec;
  /** its disks are being removed: a daemon that finds it after a crash finishes that */
  readonly deleting?: true;
  /** what the last reconcile found wrong, a line each; gone after the next start or stop that succeeds */
  readonly problems?: readonly string[];
  /** when it was last started or touched, or a command or shell in it began or ended; ISO 8601, UTC */
  readonly lastUsedAt?: string;
  /** ports that are published whenever the VM runs, until they are removed */
  readonly forwards?: readonly PortForward[];
}

/** The repository that `vm run <path>` copied in. */
export interface VmWorkspace {
  readonly guestPath: string;
  readonly sourcePath: string;
}

export interface VmRecord {
  readonly id: VmId;
  readonly name: string;
  readonly imageId: string;
  readonly state: VmState;
  /** ISO 8601, UTC */
  readonly createdAt: string;
  readonly updatedAt: string;
  readonly spec: VmSpec;
  readonly runtime: VmRuntime;
  readonly workspace?: VmWorkspace;
  /** of the last run, as last looked at */
  readonly stats?: VmStats;
}

/** What is true right now. Never in the store: it lives in `handles.json` and a cache over it. */
export interface VmHandles {
  /** the VMM process */
  readonly pid: number;
  /** start time of that process, clock ticks since boot (proc(5), stat field 22): tells a recycled pid */
  readonly pidStartTicks: number;
  readonly tapDevice?: string;
  readonly baseLoop?: string;
  readonly cowLoop?: string;
  readonly dmName?: string;
  readonly dmDevice?: string;
}

export function isVmId(text: string): text is VmId {
  return /^[0-9a-f]{12}$/.test(text);
}
