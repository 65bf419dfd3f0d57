import { covers, type Subnet } from "@banger/core";
import type { Question } from "./query.js";
import { bareReply, Rcode, type Reply } from "./reply.js";
import { authorityRecord, Type } from "./resource-record.js";
import { encodeName } from "./wire-name.js";

/** The names of the guests' addresses at one moment. */
export interface ReverseZone {
  /** IPv4 address -> VM name in lower case */
  readonly names: ReadonlyMap<string, string>;
  /** of the bridges: nobody else knows who is in them */
  readonly subnets: readonly Subnet[];
  readonly ttlSeconds: number;
  /** grows with every change (RFC 1982) */
  readonly serial: number;
}

/**
 * Answers for addresses of guests, `2.0.16.172.in-addr.arpa` (RFC 1035 §3.5). Pure.
 * @returns `undefined` when the name is none of an address of ours
 */
export function decideReverse(
  question: Question,
  zone: ReverseZone,
): Reply | undefined {
  const octets = octetsOf(question.labels);
  if (!octets) return undefined;
  const name = octets.length === 4 && zone.names.get(octets.join("."));
  const range = rangeOf(octets);
  if (!name && !zone.subnets.some((subnet) => covers(subnet, range)))
    return undefined;
  const { ttlSeconds, serial } = zone;
  // The parent's: the name itself may be said not to exist.
  const apex = encodeName(question.labels.slice(octets.length === 4 ? 1 : 0));
  const soa = authorityRecord(apex, Math.min(ttlSeconds, 5), serial);
  const wanted = question.type === Type.ptr || question.type === Type.any;
  const isKnown = Boolean(name) || octets.length < 4;
  const answers =
    name && wanted
      ? [
          {
            owner: encodeName(question.labels),
            type: Type.ptr,
            ttlSeconds,
            data: encodeName([name, "vm"]),
          },
        ]
      : [];
  return {
    ...bareReply(isKnown ? Rcode.noError : Rcode.nameError),
    authoritative: true,
    answers,
    authorities: answers.length === 0 ? [soa] : [],
  };
}

/** The address's leading octets that the name is of, most significant first. */
function octetsOf(labels: readonly string[]): readonly number[] | undefined {
  const [arpa, inAddr, ...digits] = labels.toReversed();
  if (arpa?.toLowerCase() !== "arpa" || inAddr?.toLowerCase() !== "in-addr")
    return undefined;
  if (digits.length === 0 || digits.length > 4) return undefined;
  const octets = digits.map((text) =>
    /^(?:0|[1-9][0-9]{0,2})$/.test(text) ? Number(text) : 256,
  );
  return octets.every((octet) => octet < 256) ? octets : undefined;
}

function rangeOf(octets: readonly number[]): Subnet {
  const first = [...octets, 0, 0, 0]
    .slice(0, 4)
    .reduce((value, octet) => value * 256 + octet, 0);
  return { first, prefix: octets.length * 8 };
}
