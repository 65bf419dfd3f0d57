import { isIPv4 } from "node:net";

/** IPv4 addresses from `first` on: a power of two, aligned. */
export interface Subnet {
  /** the network's own address, 32 bits */
  readonly first: number;
  /** prefix length, 0 to 32 */
  readonly prefix: number;
}

/** The 32 bits of a dotted address, or `undefined` for another text. Pure. */
export function parseIpv4(text: string): number | undefined {
  if (!isIPv4(text)) return undefined;
  return text.split(".").reduce((sum, byte) => sum * 256 + Number(byte), 0);
}

/** Dotted. Pure. */
export function renderIpv4(address: number): string {
  return [24, 16, 8, 0]
    .map((shift) => String(Math.floor(address / 2 ** shift) % 256))
    .join(".");
}

/**
 * The subnet that an address with or without prefix length is in (without: the address alone), and the address itself; `undefined` for
 * another text. Pure.
 */
export function parseCidr(
  text: string,
): (Subnet & { readonly address: number }) | undefined {
  const [, dotted = "", digits = "32"] =
    /^([0-9.]+)(?:\/(0|[1-9][0-9]?))?$/.exec(text) ?? [];
  const address = parseIpv4(dotted);
  const prefix = Number(digits);
  if (address === undefined || prefix > 32) return undefined;
  return { address, first: address - (address % size({ prefix })), prefix };
}

/** As `address/prefix`. Pure. */
export function renderSubnet({ first, prefix }: Subnet): string {
  return `${renderIpv4(first)}/${String(prefix)}`;
}

/** Number of addresses. Pure. */
export function size({ prefix }: Pick<Subnet, "prefix">): number {
  return 2 ** (32 - prefix);
}

/** Is every address of `inner` in `outer`? Pure. */
export function covers(outer: Subnet, inner: Subnet): boolean {
  return (
    outer.first <= inner.first &&
    inner.first + size(inner) <= outer.first + size(outer)
  );
}

/** Have they an address in common? Of two aligned subnets one then covers the other. Pure. */
export function overlap(one: Subnet, other: Subnet): boolean {
  return covers(one, other) || covers(other, one);
}

/** Ranges that nobody has on the internet: RFC 1918, and RFC 6598 between providers and their customers. */
const privateRanges = [
  "10.0.0.0/8",
  "172.16.0.0/12",
  "192.168.0.0/16",
  "100.64.0.0/10",
].flatMap((range) => parseCidr(range) ?? []);

/** Is every address of a subnet one that nobody has on the internet? Pure. */
export function isPrivateSubnet(subnet: Subnet): boolean {
  return privateRanges.some((range) => covers(range, subnet));
}

/** Is it a dotted address that nobody has on the internet? Pure. */
export function isPrivateIpv4(text: string): boolean {
  const first = parseIpv4(text);
  return first !== undefined && isPrivateSubnet({ first, prefix: 32 });
}
