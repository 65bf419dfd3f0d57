import {
  guestBridgeName,
  isPrivateSubnet,
  parseCidr,
  parseIpv4,
  renderIpv4,
  renderSubnet,
  size,
  type Subnet,
  InvalidValueError,
} from "@banger/core";
import { NetworkConflictError } from "./network-errors.js";

/** The bridge of one install. */
export interface BridgeSettings {
  /** name of the device */
  readonly name: string;
  /** the host's address on it, dotted; the first of the subnet */
  readonly address: string;
  readonly subnet: Subnet;
  /** most VMs that the subnet has addresses for */
  readonly guests: number;
}

/** Has this device a name that a bridge of ours may have? Pure. */
export function isBridgeName(name: string): boolean {
  return guestBridgeName.test(name);
}

/**
 * Reads the keys of `[network]` that say what the bridge is. Pure.
 * @param address the host's, with prefix length, `172.16.0.1/24`
 * @throws InvalidValueError for a name that is not ours, or an address that is not the first of a private subnet of /8 to /30
 */
export function parseBridgeSettings(
  name: string,
  address: string,
): BridgeSettings {
  // Devices of our own names only; IFNAMSIZ leaves 15 characters.
  if (!isBridgeName(name))
    throw new InvalidValueError(
      `${JSON.stringify(name)} is no name for the bridge`,
      { hint: "Use br-fc, or br-fc- and up to nine letters and digits" },
    );
  const cidr = parseCidr(address);
  const refuse = (why: string): InvalidValueError =>
    new InvalidValueError(
      `${JSON.stringify(address)} is no address for the bridge: ${why}`,
      { hint: "Use the first address of a subnet, such as 172.16.0.1/24" },
    );
  if (!cidr) throw refuse("it is no IPv4 address with prefix length");
  const { first, prefix } = cidr;
  const subnet = { first, prefix };
  if (prefix < 8 || prefix > 30) throw refuse("the prefix must be 8 to 30");
  if (!isPrivateSubnet(subnet))
    throw refuse(`${renderSubnet(subnet)} is not private`);
  if (cidr.address !== first + 1)
    throw refuse(
      `the first of ${renderSubnet(subnet)} is ${renderIpv4(first + 1)}`,
    );
  // Neither the network's own address, nor the host's, nor the broadcast address.
  const guests = size(subnet) - 3;
  return { name, address: renderIpv4(cidr.address), subnet, guests };
}

/**
 * Another address reaches nobody, or is the host's own: the subnet was another when the VM was made. Pure.
 * @param vm what the error calls it
 * @throws {@link NetworkConflictError}
 */
export function requireGuestAddress(
  { subnet, guests }: BridgeSettings,
  vm: string,
  guestIp: string,
): void {
  const lease = (parseIpv4(guestIp) ?? 0) - subnet.first - 1;
  if (lease >= 1 && lease <= guests) return;
  throw new NetworkConflictError(
    `${vm} has the address ${guestIp}, which is none of the guests' in ${renderSubnet(subnet)}`,
    {
      hint: `Set address in section [network] back to the one it was made with, or delete it: banger vm delete ${vm}`,
    },
  );
}
