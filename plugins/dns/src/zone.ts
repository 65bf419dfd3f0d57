import type { Query, Question } from "./query.js";
import { bareReply, Rcode, type Reply } from "./reply.js";
import {
  addressRecord,
  authorityRecord,
  classIn,
  nameServerRecord,
  Type,
  type ResourceRecord,
} from "./resource-record.js";
import { decideReverse, type ReverseZone } from "./reverse-zone.js";
import { encodeName } from "./wire-name.js";

/** The zone `vm` at one moment. */
export interface Zone extends ReverseZone {
  /** VM name in lower case -> IPv4 address */
  readonly addresses: ReadonlyMap<string, string>;
}

export const zoneName = "vm";

/** Most time, seconds, that "no such name" may be remembered: the VM of that name may start any moment. */
const mostNegativeTtlSeconds = 5;

/**
 * Decides about one query. Pure; never throws.
 * @returns `outside` for a sound question about names that are not ours
 */
export function decideInZones(query: Query, zone: Zone): Reply | "outside" {
  if (query.opcode !== 0) return bareReply(Rcode.notImplemented);
  const [question, another] = query.questions;
  // RFC 9619: a query asks exactly one question.
  if (query.faulty || !question || another) return bareReply(Rcode.formatError);
  if (query.edns && query.edns.version > 0) return bareReply(Rcode.badVersion);
  if (question.class !== classIn) return bareReply(Rcode.refused);
  // The list of all VMs is not for asking.
  if (question.type === Type.axfr || question.type === Type.ixfr)
    return bareReply(Rcode.refused);
  if (question.labels.at(-1)?.toLowerCase() === zoneName)
    return decideInZone(question, zone);
  return decideReverse(question, zone) ?? "outside";
}

function decideInZone(question: Question, zone: Zone): Reply {
  const { labels, type } = question;
  const wants = (other: number): boolean => type === other || type === Type.any;
  const owner = encodeName(labels);
  const negative = Math.min(zone.ttlSeconds, mostNegativeTtlSeconds);
  const apex = encodeName([zoneName]);
  const soa = authorityRecord(apex, negative, zone.serial);
  if (labels.length === 1) {
    return authoritative(soa, [
      ...(wants(Type.soa) ? [soa] : []),
      ...(wants(Type.ns) ? [nameServerRecord(owner, zone.ttlSeconds)] : []),
    ]);
  }
  const [name = ""] = labels;
  const address =
    labels.length === 2 ? zone.addresses.get(name.toLowerCase()) : undefined;
  if (address === undefined)
    return { ...authoritative(soa, []), rcode: Rcode.nameError };
  return authoritative(
    soa,
    wants(Type.a) ? [addressRecord(owner, zone.ttlSeconds, address)] : [],
  );
}

/** No answers means "not of this type" and needs the SOA, whose TTL limits how long that is remembered (RFC 2308 §2.2). */
function authoritative(
  soa: ResourceRecord,
  answers: readonly ResourceRecord[],
): Reply {
  return {
    ...bareReply(Rcode.noError),
    authoritative: true,
    answers,
    authorities: answers.length === 0 ? [soa] : [],
  };
}
