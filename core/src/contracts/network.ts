import type { GuestNetwork } from "../model/guest-config.js";
import type { Nic } from "../model/machine-config.js";
import type { Endpoint, VmId, VmRecord } from "../model/vm.js";

/** Addresses of one VM, derived from its lease. */
export interface NetworkAddresses {
  /** address that reaches the guest from the host */
  readonly guestIp: string;
  readonly ssh: Endpoint;
}

/** One network mode. */
export interface Network {
  /** `user` or `bridge` */
  readonly mode: string;
  /** May egress be switched while the guest runs? */
  readonly liveEgress: boolean;
  /** Does the guest's address reach every port of the guest from the host? */
  readonly direct: boolean;
  /** Pure: the host's address on which ports of this VM are published. */
  publishAddress(vm: VmRecord): string;
  /** Pure: the addresses that belong to a lease number. */
  addresses(lease: number): NetworkAddresses;
  /** Pure: what the guest configures on its first interface. */
  guestNetwork(vm: VmRecord): GuestNetwork;
  /** Pure: the guest's first interface. */
  nic(vm: VmRecord): Nic;
  /** Idempotent host preparation, before the VMM starts. */
  prepare(vm: VmRecord, signal: AbortSignal): Promise<void>;
  /** Idempotent removal, from the record alone. */
  remove(vm: VmRecord): Promise<void>;
}

/**
 * MAC address of a VM's first interface: locally administered, the last five bytes are the start of the VM id.
 * @see IEEE 802, clause 8.4: the second lowest bit of the first byte marks a local address
 */
export function macAddress(id: VmId): string {
  const bytes = id.slice(0, 10).match(/../g) ?? [];
  return ["02", ...bytes].join(":");
}
