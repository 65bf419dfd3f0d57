import { isIPv4 } from "node:net";
import { InvalidValueError, parseCidr, renderIpv4 } from "@banger/core";

/** What an entry opens at its destination: every port of every protocol, or one port of one protocol or both. */
export interface AllowedPort {
  readonly port?: number;
  /** absent with a port: TCP and UDP */
  readonly protocol?: "tcp" | "udp";
}

/** One entry of `allow`. */
export type AllowEntry = AllowedPort &
  (
    | {
        readonly kind: "address";
        /** `a.b.c.d` or `a.b.c.d/n` */ readonly to: string;
      }
    | {
        readonly kind: "name";
        /** lower case, without the last dot; empty: every name */
        readonly name: string;
        /** the names below `name`, and not itself */
        readonly below: boolean;
      }
  );

/**
 * Reads `DESTINATION[:PORT[/tcp|/udp]]`, DESTINATION being an IPv4 address, a subnet with prefix length, a name, `*.` and a name, or `*`.
 * Pure.
 * @throws InvalidValueError
 */
export function parseAllowEntry(text: string): AllowEntry {
  const refuse = (why: string, hint: string): InvalidValueError =>
    new InvalidValueError(
      `${JSON.stringify(text.slice(0, 300))} is nothing to allow: ${why}`,
      { hint },
    );
  const example =
    'Write an address, subnet or name, and a port if only that: "10.0.0.0/8:443", "192.0.2.7", "apt.linux.test", "*.example.org:443", "10.1.2.3:53/udp"';
  if (text !== text.trim() || text === "")
    throw refuse("it is empty, or begins or ends with a blank", example);
  if (/^[[\]0-9a-f:]*:[0-9a-f]*:/i.test(text))
    throw refuse("guests have IPv4 only", example);
  if (text.includes("://"))
    throw refuse("it is a URL", "Write the host alone, and :port after it");
  const [, destination = "", colon, digits = "", protocol] =
    /^([^:]+)(?:(:)([^/]*)(?:\/(.*))?)?$/.exec(text) ?? [];
  if (destination === "") throw refuse("it has no destination", example);
  const opening =
    colon === undefined ? {} : parsePort(digits, protocol, refuse);
  if (/^[0-9./]+$/.test(destination))
    return {
      kind: "address",
      to: parseSubnet(destination, refuse),
      ...opening,
    };
  return { kind: "name", ...parseName(destination, refuse), ...opening };
}

type Refuse = (why: string, hint: string) => InvalidValueError;

function parsePort(
  digits: string,
  protocol: string | undefined,
  refuse: Refuse,
): AllowedPort {
  const port = Number(digits);
  if (!/^[1-9][0-9]{0,4}$/.test(digits) || port > 65_535)
    throw refuse(
      `${JSON.stringify(digits)} is no port`,
      "Write one port, 1 to 65535, or leave it out for all",
    );
  if (protocol === undefined) return { port };
  if (protocol !== "tcp" && protocol !== "udp")
    throw refuse(
      `${JSON.stringify(protocol)} is no protocol`,
      "Write /tcp or /udp, or leave it out for both",
    );
  return { port, protocol };
}

function parseSubnet(text: string, refuse: Refuse): string {
  const [address = "", length, ...rest] = text.split("/");
  if (!isIPv4(address) || rest.length > 0)
    throw refuse(
      `${JSON.stringify(address)} is no IPv4 address`,
      "Write four numbers, 0 to 255: 192.0.2.7, or 10.0.0.0/8",
    );
  if (length === undefined) return address;
  const prefix = Number(length);
  if (!/^(0|[1-9][0-9]?)$/.test(length) || prefix > 32)
    throw refuse(
      `${JSON.stringify(length)} is no prefix length`,
      "Write 0 to 32: 10.0.0.0/8",
    );
  const first = renderIpv4(parseCidr(text)?.first ?? 0);
  if (first !== address)
    throw refuse(
      `${address} is in the midst of its subnet`,
      `Write ${first}/${length}, or ${address} for this address alone`,
    );
  return prefix === 32 ? address : text;
}

/** @see RFC 1035, 2.3.4: 63 characters a label, 253 a name; RFC 2181, 11: other characters than letters, digits and hyphens, such as _ */
function parseName(
  text: string,
  refuse: Refuse,
): { readonly name: string; readonly below: boolean } {
  if (text === "*") return { name: "", below: true };
  const below = text.startsWith("*.");
  const name = (below ? text.slice(2) : text).toLowerCase().replace(/\.$/, "");
  const label = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/;
  if (name.length > 253 || !name.split(".").every((part) => label.test(part)))
    throw refuse(
      "it is neither an address nor a name",
      name.includes("*")
        ? 'A * stands for whole labels at the begin: "*.example.org"'
        : "Names have letters, digits, hyphens and dots: apt.linux.test",
    );
  // Such as 1.2.3.x or 1.2.3: no name ends so (RFC 3696, 2).
  if (/(^|\.)[0-9]+$/.test(name))
    throw refuse(
      "it is no whole IPv4 address",
      "Write four numbers: 192.0.2.7, or a subnet: 10.0.0.0/8",
    );
  return { name, below };
}
