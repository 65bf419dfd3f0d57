import { isIPv4 } from "node:net";

/** A range of IPv4 addresses. */
export interface Subnet {
  /** its lowest address, as an unsigned 32-bit number */
  readonly first: number;
  readonly prefix: number;
}

/** @returns the address as an unsigned 32-bit number; `undefined` for anything else. Pure. */
function parseIpv4(text: string): number | undefined {
  if (!isIPv4(text)) return undefined;
  return text
    .split(".")
    .reduce((value, octet) => value * 256 + Number(octet), 0);
}

/** @param cidr address with prefix length, `172.16.0.2/24` */
export function parseSubnet(cidr: string): Subnet | undefined {
  const [, ip = "", digits = ""] = /^([0-9.]+)\/([0-9]{1,2})$/.exec(cidr) ?? [];
  const address = parseIpv4(ip);
  const prefix = Number(digits);
  if (address === undefined || prefix > 32 || digits === "") return undefined;
  const size = 2 ** (32 - prefix);
  return { first: address - (address % size), prefix };
}

/** Is the whole of `inner` in `outer`? Pure. */
export function covers(outer: Subnet, inner: Subnet): boolean {
  const end = ({ first, prefix }: Subnet): number => first + 2 ** (32 - prefix);
  return inner.first >= outer.first && end(inner) <= end(outer);
}

/** Ranges that nobody has on the internet: RFC 1918, and RFC 6598 between providers and their customers. */
const privateRanges = [
  "10.0.0.0/8",
  "172.16.0.0/12",
  "192.168.0.0/16",
  "100.64.0.0/10",
].flatMap((range) => parseSubnet(range) ?? []);

/** Pure. */
export function isPrivateIpv4(text: string): boolean {
  const first = parseIpv4(text);
  return (
    first !== undefined &&
    privateRanges.some((range) => covers(range, { first, prefix: 32 }))
  );
}
