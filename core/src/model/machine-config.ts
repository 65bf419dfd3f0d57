/** How the bytes of a disk image are laid out. */
export type DiskFormat = "raw" | "qcow2";

export interface Drive {
  /** image file or block device on the host, absolute */
  readonly path: string;
  readonly format: DiskFormat;
  readonly readOnly: boolean;
}

/** A network interface as the network mode provides it; the VMM driver reads `backend`. */
export interface Nic {
  readonly mac: string;
  readonly backend:
    | { readonly kind: "user"; readonly forwards: readonly NicForward[] }
    | { readonly kind: "tap"; readonly device: string };
}

/** Host endpoint that reaches a guest port. */
export interface NicForward {
  readonly host: string;
  readonly hostPort: number;
  readonly guestPort: number;
}

/** A byte channel between host and guest: a unix socket on the host, a virtio port or a vsock port in the guest. */
export interface Channel {
  readonly socketPath: string;
}

/** Whether connections from the guest may leave through an interface. */
export type Egress = "blocked" | "open";

/**
 * The virtual hardware. Each record is a set of slots, as in the guest configuration. Drives keep the order in which they were
 * added and the guest names them by it: the root disk is the first.
 */
export interface MachineConfig {
  readonly vcpus: number;
  readonly memoryMiB: number;
  /** by drive id; `root` is the image's overlay */
  readonly drives: Readonly<Record<string, Drive>>;
  /** by interface id; `net0` is the first */
  readonly nics: Readonly<Record<string, Nic>>;
  /** by interface id; an interface without an entry is blocked */
  readonly egress: Readonly<Record<string, Egress>>;
  /** kernel arguments by key; `true` for a bare word */
  readonly kernelArgs: Readonly<Record<string, string | true>>;
  /** by channel name; `org.qemu.guest_agent.0` is the guest agent */
  readonly channels: Readonly<Record<string, Channel>>;
}

/**
 * Device node of a drive in the guest: virtio-blk disks are named in the order in which the VMM presents them.
 * @throws Error when the machine has no such drive, or more than 26
 */
export function driveDevice(machine: MachineConfig, drive: string): string {
  const index = Object.keys(machine.drives).indexOf(drive);
  if (index < 0 || index > 25)
    throw new Error(`the machine has no drive ${drive}`);
  return `/dev/vd${String.fromCharCode(97 + index)}`;
}
