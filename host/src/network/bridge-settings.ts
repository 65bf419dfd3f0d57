import { InvalidValueError } from "@banger/core";
import {
  covers,
  parseCidr,
  renderIpv4,
  renderSubnet,
  size,
  type Subnet,
} from "./ipv4.js";

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

/** Ranges that nobody has on the internet: RFC 1918, and RFC 6598 between providers and their customers. */
const privateRanges = [
  "10.0.0.0/8",
  "172.16.0.0/12",
  "192.168.0.0/16",
  "100.64.0.0/10",
].flatMap((range) => parseCidr(range) ?? []);

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
  if (!/^br-fc(?:-[a-z0-9]{1,9})?$/.test(name))
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
  if (!privateRanges.some((range) => covers(range, subnet)))
    throw refuse(`${renderSubnet(subnet)} is not private`);
  if (cidr.address !== first + 1)
    throw refuse(
      `the first of ${renderSubnet(subnet)} is ${renderIpv4(first + 1)}`,
    );
  // Neither the network's own address, nor the host's, nor the broadcast address.
  const guests = size(subnet) - 3;
  return { name, address: renderIpv4(cidr.address), subnet, guests };
}
