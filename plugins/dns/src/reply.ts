import { headerBytes, type Query } from "./query.js";
import { classIn, Type, type ResourceRecord } from "./resource-record.js";
import { nameKey } from "./wire-name.js";

/** RFC 1035 §4.1.1; `badVersion` needs EDNS (RFC 6891 §9). */
export const Rcode = {
  noError: 0,
  formatError: 1,
  serverFailure: 2,
  nameError: 3,
  notImplemented: 4,
  refused: 5,
  badVersion: 16,
} as const;

export interface Reply {
  readonly rcode: (typeof Rcode)[keyof typeof Rcode];
  readonly authoritative: boolean;
  /** whoever asks may have names resolved that are not ours */
  readonly recursionAvailable: boolean;
  readonly answers: readonly ResourceRecord[];
  readonly authorities: readonly ResourceRecord[];
}

/** UDP payload that we announce and never exceed, bytes: passes every link without fragments (DNS flag day 2020). */
export const udpPayloadSize = 1232;
/** What everybody can take over UDP, bytes (RFC 1035 §2.3.4). */
const leastPayloadSize = 512;

/** A reply without records. Pure. */
export function bareReply(
  rcode: Reply["rcode"],
  recursionAvailable = false,
): Reply {
  return {
    rcode,
    authoritative: false,
    recursionAvailable,
    answers: [],
    authorities: [],
  };
}

/** Most bytes of a reply to this query over UDP. Pure. */
export function udpLimit({ edns }: Query): number {
  const wanted = edns?.udpPayloadSize ?? leastPayloadSize;
  return Math.min(Math.max(wanted, leastPayloadSize), udpPayloadSize);
}

/**
 * Encodes the reply to a query. Pure: same id and opcode, the one question repeated byte for byte, RD copied, an OPT record exactly when the
 * query had one.
 * @param mostBytes above it the records are left out and TC says so; what is left has 300 bytes at most
 */
export function renderReply(
  query: Query,
  reply: Reply,
  mostBytes = leastPayloadSize,
): Buffer {
  const whole = render(query, reply, false);
  return whole.length <= mostBytes
    ? whole
    : render(query, { ...reply, answers: [], authorities: [] }, true);
}

function render(query: Query, reply: Reply, truncated: boolean): Buffer {
  const [question, another] = query.questions;
  const wire = question && !another ? question.wire : Buffer.alloc(0);
  const records = [...reply.answers, ...reply.authorities];
  const bytes = Buffer.allocUnsafe(
    records.reduce(
      (sum, { owner, data }) => sum + owner.length + 10 + data.length,
      headerBytes + wire.length + optBytes,
    ),
  );
  bytes.writeUInt16BE(query.id, 0);
  bytes.writeUInt16BE(
    0x8000 |
      (query.opcode << 11) |
      (reply.authoritative ? 0x0400 : 0) |
      (truncated ? 0x0200 : 0) |
      (query.recursionDesired ? 0x0100 : 0) |
      (reply.recursionAvailable ? 0x0080 : 0) |
      (reply.rcode & 0xf),
    2,
  );
  bytes.writeUInt16BE(wire.length > 0 ? 1 : 0, 4);
  bytes.writeUInt16BE(reply.answers.length, 6);
  bytes.writeUInt16BE(reply.authorities.length, 8);
  bytes.writeUInt16BE(query.edns ? 1 : 0, 10);
  wire.copy(bytes, headerBytes);
  let end = headerBytes + wire.length;
  if (records.length > 0) {
    const places = new Map<string, number>();
    // Names of records point into the question, so that they have its case: resolvers that randomise it (DNS 0x20) compare.
    if (wire.length > 0)
      note(places, wire.subarray(0, wire.length - 4), headerBytes);
    for (const record of records) end = writeRecord(bytes, end, record, places);
  }
  if (query.edns) end = writeOpt(bytes, end, query.edns.dnssecOk, reply.rcode);
  return bytes.subarray(0, end);
}

function writeRecord(
  bytes: Buffer,
  start: number,
  { owner, type, ttlSeconds, data }: ResourceRecord,
  places: Map<string, number>,
): number {
  let end = writeName(bytes, start, owner, places);
  end = bytes.writeUInt16BE(type, end);
  end = bytes.writeUInt16BE(classIn, end);
  end = bytes.writeUInt32BE(ttlSeconds, end);
  end = bytes.writeUInt16BE(data.length, end);
  data.copy(bytes, end);
  // The next record is most often the alias' own.
  if (type === Type.cname) note(places, data, end);
  return end + data.length;
}

/** @returns the offset behind it */
function writeName(
  bytes: Buffer,
  start: number,
  wire: Buffer,
  places: Map<string, number>,
): number {
  for (let at = 0; at < wire.length - 1; at += 1 + (wire[at] ?? 0)) {
    const place = places.get(nameKey(wire.subarray(at)));
    if (place === undefined) continue;
    wire.copy(bytes, start, 0, at);
    note(places, wire.subarray(0, at), start, wire);
    return bytes.writeUInt16BE(0xc000 | place, start + at);
  }
  wire.copy(bytes, start);
  note(places, wire, start);
  return start + wire.length;
}

/** Remembers where the name and each of its suffixes can be pointed at: in the first 16 KiB (RFC 1035 §4.1.4). */
function note(
  places: Map<string, number>,
  written: Buffer,
  start: number,
  whole: Buffer = written,
): void {
  for (let at = 0; at < written.length; at += 1 + (written[at] ?? 0)) {
    if (written[at] === 0 || start + at > 0x3fff) return;
    const key = nameKey(whole.subarray(at));
    if (!places.has(key)) places.set(key, start + at);
  }
}

const optBytes = 11;

/** @see RFC 6891 §6.1.2 */
function writeOpt(
  bytes: Buffer,
  start: number,
  dnssecOk: boolean,
  rcode: number,
): number {
  let end = bytes.writeUInt8(0, start);
  end = bytes.writeUInt16BE(Type.opt, end);
  end = bytes.writeUInt16BE(udpPayloadSize, end);
  end = bytes.writeUInt8(rcode >> 4, end);
  end = bytes.writeUInt8(0, end);
  // RFC 3225 §3: the DO bit is copied, whether or not there are signatures.
  end = bytes.writeUInt16BE(dnssecOk ? 0x8000 : 0, end);
  return bytes.writeUInt16BE(0, end);
}
