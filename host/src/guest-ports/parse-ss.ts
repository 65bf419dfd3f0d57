import { isIP, isIPv4 } from "node:net";
import type { ListeningPort } from "@banger/core";

/** Netid, state, two queues, local address and port, peer, and whatever more; ss(8). */
const line =
  /^(tcp|udp) +(?:LISTEN|UNCONN) +\d+ +\d+ +(\S+):(\d{1,5}) +\S+ *(.*)$/s;
/** A name may contain anything but a NUL byte, also what ends it here; proc(5), /proc/pid/comm. */
const owner = /^users:\(\("(.*?)",pid=\d+,fd=\d+\)/s;
/** The kernel's bound on the name of a process is 15 bytes. */
const longestName = 64;

/**
 * The listening sockets in the output of `ss -Hlntup`, a protocol and port once each: under its widest address when a program
 * listens on several. Lines that are not what `ss` writes are left out. Pure; never throws.
 */
export function parseSs(output: string): readonly ListeningPort[] {
  const ports = new Map<string, ListeningPort>();
  for (const text of output.split("\n")) {
    const found = parseLine(text);
    if (!found) continue;
    const key = `${found.protocol} ${found.port}`;
    const known = ports.get(key);
    if (!known || width(found) > width(known)) ports.set(key, found);
  }
  return [...ports.values()].sort(
    (a, b) => a.protocol.localeCompare(b.protocol) || a.port - b.port,
  );
}

function parseLine(text: string): ListeningPort | undefined {
  const [, protocol, host = "", digits, rest = ""] = line.exec(text) ?? [];
  const address = parseAddress(host);
  const port = Number(digits);
  if (address === undefined || port < 1 || port > 65_535) return undefined;
  const name = printable(owner.exec(rest)?.[1] ?? "");
  return {
    protocol: protocol === "udp" ? "udp" : "tcp",
    address,
    port,
    ...(name === "" ? {} : { process: name }),
  };
}

/** `*` is every address of both families; an interface after `%` and the brackets of IPv6 are not part of the address. */
function parseAddress(text: string): string | undefined {
  if (text === "*") return "::";
  const bare = text.replace(/%[^\]]*/, "").replace(/^\[(.*)\]$/, "$1");
  const address = bare.replace(/^::ffff:(?=\d+\.)/i, "");
  return isIP(address) === 0 ? undefined : address;
}

/** How many addresses reach it. */
function width({ address }: ListeningPort): number {
  if (address === "::") return 3;
  if (address === "0.0.0.0") return 2;
  return isIPv4(address) ? 1 : 0;
}

function printable(name: string): string {
  return (
    name
      .replaceAll(/[\p{C}\p{Zl}\p{Zp}]/gu, "")
      .trim()
      .slice(0, longestName)
      // The cut may have gone through a character of two units.
      .replace(/\p{Cs}$/u, "")
  );
}
