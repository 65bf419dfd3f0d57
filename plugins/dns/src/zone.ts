import type { Answer } from "dns-packet";
import { parseQuery, type Query, type Question } from "./query.js";
import { Rcode, renderReply, type Reply } from "./reply.js";

/** The zone `vm` at one moment. */
export interface Zone {
  /** VM name in lower case -> IPv4 address */
  readonly addresses: ReadonlyMap<string, string>;
  readonly ttlSeconds: number;
  /** grows with every change (RFC 1982) */
  readonly serial: number;
}

export const zoneName = "vm";

const Type = { a: 1, ns: 2, soa: 6, ixfr: 251, axfr: 252, any: 255 } as const;
const classIn = 1;
/** Most time, seconds, that "no such name" may be remembered: the VM of that name may start any moment. */
const mostNegativeTtlSeconds = 5;

/**
 * Answers one message. Pure; takes any bytes and never throws.
 * @returns the reply, at most 512 bytes, or `undefined` when none is due: a response, or a message that cannot be read
 */
export function answerMessage(
  message: Uint8Array,
  zone: Zone,
): Buffer | undefined {
  const query = parseQuery(message);
  return query && renderReply(query, decide(query, zone));
}

function decide(query: Query, zone: Zone): Reply {
  if (query.opcode !== 0) return refusal(Rcode.notImplemented);
  const [question, another] = query.questions;
  // RFC 9619: a query asks exactly one question.
  if (query.faulty || !question || another) return refusal(Rcode.formatError);
  if (query.edns && query.edns.version > 0) return refusal(Rcode.badVersion);
  if (question.class !== classIn) return refusal(Rcode.refused);
  if (question.labels.at(-1)?.toLowerCase() !== zoneName)
    return refusal(Rcode.refused);
  // The list of all VMs is not for asking.
  if (question.type === Type.axfr || question.type === Type.ixfr)
    return refusal(Rcode.refused);
  return decideInZone(question, zone);
}

function decideInZone(question: Question, zone: Zone): Reply {
  const { labels, type } = question;
  const wants = (other: number): boolean => type === other || type === Type.any;
  // Owner names repeat the question's case: resolvers that randomise it (DNS 0x20) compare.
  const owner = labels.join(".");
  const soa = soaRecord(labels.at(-1) ?? zoneName, zone);
  if (labels.length === 1) {
    return authoritative(soa, [
      ...(wants(Type.soa) ? [soa] : []),
      ...(wants(Type.ns) ? [nsRecord(owner, zone)] : []),
    ]);
  }
  const [name = ""] = labels;
  const address =
    labels.length === 2 ? zone.addresses.get(name.toLowerCase()) : undefined;
  if (address === undefined)
    return { ...authoritative(soa, []), rcode: Rcode.nameError };
  const ttl = zone.ttlSeconds;
  return authoritative(
    soa,
    wants(Type.a) ? [{ type: "A", name: owner, ttl, data: address }] : [],
  );
}

function refusal(rcode: Reply["rcode"]): Reply {
  return { rcode, authoritative: false, answers: [], authorities: [] };
}

/** No answers means "not of this type" and needs the SOA, whose TTL limits how long that is remembered (RFC 2308 §2.2). */
function authoritative(soa: Answer, answers: readonly Answer[]): Reply {
  return {
    rcode: Rcode.noError,
    authoritative: true,
    answers,
    authorities: answers.length === 0 ? [soa] : [],
  };
}

// Every one-label name below `vm` may be a VM's, so the server's own name is outside: `localhost` always is this host (RFC 6761).
const serverName = "localhost";

function nsRecord(name: string, zone: Zone): Answer {
  return { type: "NS", name, ttl: zone.ttlSeconds, data: serverName };
}

function soaRecord(name: string, zone: Zone): Answer {
  const negative = Math.min(zone.ttlSeconds, mostNegativeTtlSeconds);
  return {
    type: "SOA",
    name,
    ttl: negative,
    data: {
      mname: serverName,
      rname: "nobody.invalid",
      serial: zone.serial,
      // There are no secondaries; the numbers are RFC 1912's lower ends.
      refresh: 1200,
      retry: 180,
      expire: 1_209_600,
      minimum: negative,
    },
  };
}
