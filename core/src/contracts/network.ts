import type { GuestNetwork } from "../model/guest-config.js";
import type { Nic } from "../model/machine-config.js";
import type { Endpoint, VmId, VmRecord, VmRuntime } from "../model/vm.js";

/** Addresses of one VM, derived from its lease. */
export interface NetworkAddresses {
  /** address that reaches the guest from the host */
  readonly guestIp: string;
  readonly ssh: Endpoint;
}

/** What a VM's network is called during one run; the record says it before it is made. */
export type NetworkNames = Pick<VmRuntime, "tapDevice">;

/** The network of each VM, in the mode that its record names. */
export interface Network {
  /** of the VMs that are made from now on: `user` or `bridge` */
  readonly mode: string;
  /** Pure: may egress be switched while the guest runs? */
  liveEgress(vm: VmRecord): boolean;
  /** Pure: does the guest's address reach every port of the guest from the host? */
  direct(vm: VmRecord): boolean;
  /** Pure: the host's address on which ports of this VM are published. */
  publishAddress(vm: VmRecord): string;
  /** Pure: the bridge of guests that the VM's TAP device is a port of, in modes that have one. */
  bridge(vm: VmRecord): string | undefined;
  /**
   * Pure: addresses of a new VM.
   * @param lease counts from 1
   * @throws BangerError when there is no address for so many
   */
  addresses(lease: number, id: VmId): NetworkAddresses;
  /**
   * The names that the next `prepare` of this VM uses: the same until `remove`. Makes nothing, but nobody else gets them meanwhile.
   * @param vm says already what its VMM is called during this run
   */
  names(vm: VmRecord): NetworkNames;
  /** Pure: what the guest configures on its first interface. */
  guestNetwork(vm: VmRecord): GuestNetwork;
  /** Pure: the guest's first interface. */
  nic(vm: VmRecord): Nic;
  /** Idempotent host preparation, before the VMM starts. */
  prepare(vm: VmRecord, signal: AbortSignal): Promise<void>;
  /**
   * Puts back what is missing of a running VM's network, such as rules that another program has flushed; traffic goes on meanwhile.
   * Idempotent.
   */
  restore(vm: VmRecord, signal: AbortSignal): Promise<void>;
  /** Idempotent removal, from the record alone. */
  remove(vm: VmRecord): Promise<void>;
}

/**
 * The bit of a packet's mark that lets it through between a bridge of guests and whatever is beyond the host. The network drops what has
 * not got it, right after the priority of mangle in the kernel's forward hook, and takes it away there; only a rule of that hook and
 * priority can set it, as it is taken from what arrives.
 * Between the bits that others use: the CNI portmap plugin's 0x2000 and kube-proxy's 0x4000 above, Cilium's 0x0f00 below.
 */
export const forwardMark = 0x1000;

/**
 * MAC address of a VM's first interface: locally administered, the last five bytes are the start of the VM id.
 * @see IEEE 802, clause 8.4: the second lowest bit of the first byte marks a local address
 */
export function macAddress(id: VmId): string {
  const bytes = id.slice(0, 10).match(/../g) ?? [];
  return ["02", ...bytes].join(":");
}

/** Bridges of guests: names that only we give, within the 15 characters of IFNAMSIZ. */
export const guestBridgeName = /^br-fc(?:-[a-z0-9]{1,9})?$/;

/** TAP devices of guests: made for one VM, or of the pool. */
export const guestTapName =
  /^(?:tap-fc-[0-9a-f]{8}|tap-pool-(?:0|[1-9][0-9]{0,5}))$/;
