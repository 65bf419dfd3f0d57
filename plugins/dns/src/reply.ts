import {
  AUTHORITATIVE_ANSWER,
  DNSSEC_OK,
  encode,
  RECURSION_DESIRED,
  type Answer,
} from "dns-packet";
import type { Query } from "./query.js";

/** RFC 1035 §4.1.1; `badVersion` needs EDNS (RFC 6891 §9). */
export const Rcode = {
  noError: 0,
  formatError: 1,
  nameError: 3,
  notImplemented: 4,
  refused: 5,
  badVersion: 16,
} as const;

export interface Reply {
  readonly rcode: (typeof Rcode)[keyof typeof Rcode];
  readonly authoritative: boolean;
  readonly answers: readonly Answer[];
  readonly authorities: readonly Answer[];
}

/** UDP payload that we announce, bytes: passes every link without fragments (DNS flag day 2020). */
const udpPayloadSize = 1232;
const headerBytes = 12;

/**
 * Encodes the reply to a query: same id and opcode, the one question repeated byte for byte, RD copied, RA never set, an OPT record
 * exactly when the query had one.
 */
export function renderReply(query: Query, reply: Reply): Buffer {
  const records = encode({
    type: "response",
    id: query.id,
    flags:
      (query.opcode << 11) |
      (reply.authoritative ? AUTHORITATIVE_ANSWER : 0) |
      (query.recursionDesired ? RECURSION_DESIRED : 0) |
      (reply.rcode & 0xf),
    answers: [...reply.answers],
    authorities: [...reply.authorities],
    additionals: query.edns ? [optRecord(query.edns.dnssecOk, reply)] : [],
  });
  const [question, another] = query.questions;
  if (!question || another) return records;
  // The encoder compresses no names, so bytes may be put in between without spoiling a pointer.
  records.writeUInt16BE(1, 4);
  return Buffer.concat([
    records.subarray(0, headerBytes),
    question.wire,
    records.subarray(headerBytes),
  ]);
}

function optRecord(dnssecOk: boolean, reply: Reply): Answer {
  return {
    type: "OPT",
    name: ".",
    udpPayloadSize,
    extendedRcode: reply.rcode >> 4,
    ednsVersion: 0,
    // RFC 3225 §3: the DO bit is copied, whether or not there are signatures.
    flags: dnssecOk ? DNSSEC_OK : 0,
    flag_do: dnssecOk,
    options: [],
  };
}
