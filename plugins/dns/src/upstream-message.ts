import { headerBytes, type Question } from "./query.js";
import { Rcode, udpPayloadSize } from "./reply.js";
import { classIn, Type, type ResourceRecord } from "./resource-record.js";
import { nameKey, readName } from "./wire-name.js";

/** What an upstream has found out, of all that it said: nothing but what was asked for. */
export interface UpstreamAnswer {
  readonly rcode: typeof Rcode.noError | typeof Rcode.nameError;
  /** the aliases that lead from the question to the answer, in that order, then the answer */
  readonly answers: readonly ResourceRecord[];
  /** the SOA record of an answer without records: how long that may be remembered (RFC 2308 §5) */
  readonly authorities: readonly ResourceRecord[];
}

/** How a message reads that came from an upstream. */
export type UpstreamReading =
  | { readonly kind: "answer"; readonly answer: UpstreamAnswer }
  /** there is more than a datagram holds */
  | { readonly kind: "truncated" }
  /** it does not know, or will not say */
  | { readonly kind: "failure"; readonly rcode: number }
  /** it answers the question, and cannot be read */
  | { readonly kind: "broken" }
  /** it answers something else: whoever sent it may be guessing */
  | { readonly kind: "foreign" };

/** Most records of a message; what would be more is a nuisance, not an answer. */
const mostRecords = 1_024;
/** Most aliases from a question to its answer. */
const mostAliases = 16;
/** Most time that a record is kept or passed on with, seconds. */
const mostTtlSeconds = 3_600;

/**
 * The question as it is put to an upstream: recursion desired, nothing else from whoever asked.
 * @param edns without it for servers that do not understand it
 */
export function renderQuestion(
  id: number,
  question: Question,
  edns: boolean,
): Buffer {
  const head = Buffer.alloc(headerBytes);
  head.writeUInt16BE(id, 0);
  head.writeUInt16BE(0x0100, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(edns ? 1 : 0, 10);
  const opt = Buffer.alloc(edns ? 11 : 0);
  if (edns) {
    opt.writeUInt16BE(Type.opt, 1);
    opt.writeUInt16BE(udpPayloadSize, 3);
  }
  return Buffer.concat([head, question.wire, opt]);
}

/** Reads what an upstream sent. Pure; takes any bytes and never throws; goes through them once. */
export function readUpstream(
  bytes: Buffer,
  id: number,
  question: Question,
): UpstreamReading {
  const end = headerBytes + question.wire.length;
  if (bytes.length < headerBytes || bytes.readUInt16BE(0) !== id)
    return { kind: "foreign" };
  const flags = bytes.readUInt16BE(2);
  // A response (QR) to a standard query.
  if ((flags & 0xf800) !== 0x8000) return { kind: "foreign" };
  const rcode = flags & 0xf;
  // RFC 1035 leaves it open whether an error repeats the question; nothing is believed of one but that it is an error.
  if (bytes.length === headerBytes && bytes.readUInt16BE(4) === 0)
    return rcode === Rcode.noError
      ? { kind: "broken" }
      : { kind: "failure", rcode };
  if (bytes.readUInt16BE(4) !== 1 || bytes.length < end)
    return { kind: "foreign" };
  const repeated = bytes.subarray(headerBytes, end);
  if (nameKey(repeated) !== nameKey(question.wire)) return { kind: "foreign" };
  if (rcode !== Rcode.noError && rcode !== Rcode.nameError)
    return { kind: "failure", rcode };
  if ((flags & 0x0200) !== 0) return { kind: "truncated" };
  const answers = readSection(bytes, end, bytes.readUInt16BE(6));
  const authorities =
    answers && readSection(bytes, answers.end, bytes.readUInt16BE(8));
  if (!authorities) return { kind: "broken" };
  const chain = follow(question, answers.records);
  if (!chain) return { kind: "broken" };
  const soa = authorities.records.find(
    ({ owner, type }) => type === Type.soa && isAncestor(owner, chain.last),
  );
  const answer: UpstreamAnswer = {
    rcode,
    answers: chain.records,
    // Beside records of the type that was asked for it says nothing.
    authorities: chain.found || !soa ? [] : [soa],
  };
  return { kind: "answer", answer };
}

/** How long this may be remembered, seconds; 0 when not at all. Pure. */
export function lifetimeOf({ answers, authorities }: UpstreamAnswer): number {
  const [soa] = authorities;
  const least = Math.min(
    ...[...answers, ...authorities].map(({ ttlSeconds }) => ttlSeconds),
    mostTtlSeconds,
  );
  if (soa) return Math.min(least, minimumOf(soa), mostNegativeTtlSeconds);
  // "No such name" without a SOA record says nothing about how long (RFC 2308 §5).
  return answers.some(({ type }) => type !== Type.cname) ? least : 0;
}

/** Most time, seconds, that "there is none" is remembered: somebody may be about to make it. */
const mostNegativeTtlSeconds = 60;

function minimumOf({ data }: ResourceRecord): number {
  return data.length >= 4 ? data.readUInt32BE(data.length - 4) : 0;
}

function readSection(
  bytes: Buffer,
  start: number,
  count: number,
):
  | { readonly records: readonly ResourceRecord[]; readonly end: number }
  | undefined {
  if (count > mostRecords) return undefined;
  const records: ResourceRecord[] = [];
  let end = start;
  for (let left = count; left > 0; left--) {
    const name = readName(bytes, end);
    if (!name || name.end + 10 > bytes.length) return undefined;
    const type = bytes.readUInt16BE(name.end);
    const recordClass = bytes.readUInt16BE(name.end + 2);
    const ttl = bytes.readUInt32BE(name.end + 4);
    const dataStart = name.end + 10;
    end = dataStart + bytes.readUInt16BE(name.end + 8);
    if (end > bytes.length) return undefined;
    if (recordClass !== classIn) continue;
    const data = readData(bytes, type, dataStart, end);
    if (!data) return undefined;
    // RFC 2181 §8: with the highest bit set it counts as 0.
    const ttlSeconds = ttl > 0x7fffffff ? 0 : Math.min(ttl, mostTtlSeconds);
    records.push({ owner: name.wire, type, ttlSeconds, data });
  }
  return { records, end };
}

/** Bytes before the first name, names, and bytes behind them, of the types whose names may be compressed (RFC 3597 §4). */
const layouts: Readonly<
  Record<number, readonly [before: number, names: number, behind: number]>
> = {
  [Type.ns]: [0, 1, 0],
  [Type.cname]: [0, 1, 0],
  [Type.soa]: [0, 2, 20],
  [Type.mb]: [0, 1, 0],
  [Type.mg]: [0, 1, 0],
  [Type.mr]: [0, 1, 0],
  [Type.ptr]: [0, 1, 0],
  [Type.minfo]: [0, 2, 0],
  [Type.mx]: [2, 1, 0],
};

function readData(
  bytes: Buffer,
  type: number,
  start: number,
  end: number,
): Buffer | undefined {
  // Four bytes are an address, which others are going to be let through to.
  if (type === Type.a && end - start !== 4) return undefined;
  const layout = layouts[type];
  // Copied: it may be kept for long, and the message is not.
  if (!layout) return Buffer.from(bytes.subarray(start, end));
  const [before, names, behind] = layout;
  const parts = [bytes.subarray(start, start + before)];
  let offset = start + before;
  for (let left = names; left > 0; left--) {
    const name = readName(bytes, offset);
    if (!name) return undefined;
    parts.push(name.wire);
    offset = name.end;
  }
  if (offset + behind !== end) return undefined;
  parts.push(bytes.subarray(offset, end));
  return Buffer.concat(parts);
}

/**
 * The records that answer the question: its own or, by way of aliases, another name's. What else a message says is not passed on, as it is
 * nothing that this upstream was asked.
 * @returns `undefined` for aliases that lead in a circle or nowhere near an end
 */
function follow(
  { wire, type }: Question,
  records: readonly ResourceRecord[],
):
  | {
      readonly records: readonly ResourceRecord[];
      readonly last: Buffer;
      readonly found: boolean;
    }
  | undefined {
  const byOwner = new Map<string, ResourceRecord[]>();
  for (const record of records) {
    const key = nameKey(record.owner);
    const same = byOwner.get(key);
    if (same) same.push(record);
    else byOwner.set(key, [record]);
  }
  const chain: ResourceRecord[] = [];
  let last = wire.subarray(0, wire.length - 4);
  for (let aliases = 0; aliases <= mostAliases; aliases++) {
    const own = byOwner.get(nameKey(last)) ?? [];
    const wanted = own.filter((record) => record.type === type);
    if (wanted.length > 0)
      return { records: [...chain, ...wanted], last, found: true };
    const alias = own.find((record) => record.type === Type.cname);
    if (!alias) return { records: chain, last, found: false };
    chain.push(alias);
    last = alias.data;
  }
  return undefined;
}

function isAncestor(ancestor: Buffer, name: Buffer): boolean {
  const wanted = nameKey(ancestor);
  for (let at = 0; at < name.length; at += 1 + (name[at] ?? 0))
    if (nameKey(name.subarray(at)) === wanted) return true;
  return false;
}
