import { mostNameBytes } from "./wire-name.js";

/**
 * Reading of queries. Libraries decode them too, but not faithfully: a dot inside a label and a type that has no name in their table do
 * not survive, and they decode RDATA that nobody needs. This reader looks at names, types and lengths only, goes
 * through the bytes once, and never follows a compression pointer.
 */

export interface Question {
  /** the question as it came, to be repeated byte for byte */
  readonly wire: Buffer;
  /** first label first, one character a byte, case as sent */
  readonly labels: readonly string[];
  readonly type: number;
  readonly class: number;
}

/** What the OPT record of a query says. @see RFC 6891 §6.1.3 */
interface Edns {
  readonly version: number;
  /** most bytes that whoever asks takes over UDP */
  readonly udpPayloadSize: number;
  readonly dnssecOk: boolean;
}

export interface Query {
  readonly id: number;
  readonly opcode: number;
  readonly recursionDesired: boolean;
  readonly questions: readonly Question[];
  readonly edns?: Edns;
  /** legible, but not what the RFCs allow: two OPT records, an OPT that is not the root's, bytes after the end */
  readonly faulty: boolean;
}

export const headerBytes = 12;
const optType = 41;

/** @returns `undefined` for a response and for anything that cannot be read to its end: neither is answered. */
export function parseQuery(message: Uint8Array): Query | undefined {
  const bytes = Buffer.from(
    message.buffer,
    message.byteOffset,
    message.byteLength,
  );
  if (bytes.length < headerBytes) return undefined;
  const flags = bytes.readUInt16BE(2);
  if (flags >> 15 === 1) return undefined;
  const head = {
    id: bytes.readUInt16BE(0),
    opcode: (flags >> 11) & 0xf,
    recursionDesired: ((flags >> 8) & 1) === 1,
  };
  // Other opcodes give the sections other meanings (RFC 2136, RFC 8490), so nothing after the header is looked at.
  if (head.opcode !== 0) return { ...head, questions: [], faulty: false };
  const body = readBody(bytes);
  return body && { ...head, ...body };
}

function readBody(
  bytes: Buffer,
): Pick<Query, "questions" | "edns" | "faulty"> | undefined {
  let offset = headerBytes;
  const questions: Question[] = [];
  for (let left = bytes.readUInt16BE(4); left > 0; left--) {
    const question = readQuestion(bytes, offset);
    if (!question) return undefined;
    questions.push(question);
    offset += question.wire.length;
  }
  const ordinary = bytes.readUInt16BE(6) + bytes.readUInt16BE(8);
  const additional = bytes.readUInt16BE(10);
  let edns: Edns | undefined;
  let faulty = false;
  for (let index = 0; index < ordinary + additional; index++) {
    const record = readRecord(bytes, offset);
    if (!record) return undefined;
    if (record.type === optType) {
      faulty ||= edns !== undefined || index < ordinary || !record.ofRoot;
      edns ??= record.edns;
    }
    offset = record.end;
  }
  faulty ||= offset !== bytes.length;
  return { questions, faulty, ...(edns && !faulty ? { edns } : {}) };
}

function readQuestion(bytes: Buffer, start: number): Question | undefined {
  const labels: string[] = [];
  let offset = start;
  for (;;) {
    const length = bytes[offset];
    // A pointer has nothing to point at here: only the header is before the first question.
    if (length === undefined || length > 63) return undefined;
    const next = offset + 1 + length;
    if (next > bytes.length || next - start > mostNameBytes) return undefined;
    if (length > 0) labels.push(bytes.toString("latin1", offset + 1, next));
    offset = next;
    if (length === 0) break;
  }
  if (offset + 4 > bytes.length) return undefined;
  return {
    wire: bytes.subarray(start, offset + 4),
    labels,
    type: bytes.readUInt16BE(offset),
    class: bytes.readUInt16BE(offset + 2),
  };
}

interface SeenRecord {
  readonly type: number;
  readonly ofRoot: boolean;
  /** only meaningful for an OPT record */
  readonly edns: Edns;
  readonly end: number;
}

function readRecord(bytes: Buffer, start: number): SeenRecord | undefined {
  const nameEnd = skipName(bytes, start);
  if (nameEnd === undefined || nameEnd + 10 > bytes.length) return undefined;
  const end = nameEnd + 10 + bytes.readUInt16BE(nameEnd + 8);
  if (end > bytes.length) return undefined;
  return {
    type: bytes.readUInt16BE(nameEnd),
    ofRoot: nameEnd === start + 1,
    edns: {
      udpPayloadSize: bytes.readUInt16BE(nameEnd + 2),
      version: bytes.readUInt8(nameEnd + 5),
      dnssecOk: bytes.readUInt8(nameEnd + 6) >> 7 === 1,
    },
    end,
  };
}

/** @returns the offset behind the name; a compression pointer ends it (RFC 1035 §4.1.4) */
function skipName(bytes: Buffer, start: number): number | undefined {
  for (let offset = start; offset - start < mostNameBytes;) {
    const length = bytes[offset];
    if (length === undefined) return undefined;
    if (length === 0) return offset + 1;
    if (length >= 0xc0) return offset + 2;
    if (length > 63) return undefined;
    offset += 1 + length;
  }
  return undefined;
}
