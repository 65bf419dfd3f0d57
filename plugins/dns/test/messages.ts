import {
  decode,
  encode,
  type Answer,
  type DecodedPacket,
  type OptAnswer,
  type Packet,
  type RecordType,
} from "dns-packet";
import { Answering } from "../src/answering.js";
import type { Zone } from "../src/zone.js";

export const zone: Zone = {
  addresses: new Map([
    ["calm-otter", "172.16.0.7"],
    ["web", "127.77.3.1"],
  ]),
  names: new Map([
    ["172.16.0.7", "calm-otter"],
    ["127.77.3.1", "web"],
  ]),
  subnets: [{ first: 0xac100000, prefix: 24 }],
  ttlSeconds: 5,
  serial: 2026,
};

/** What a server of this zone answers to anybody; anything else than a zone's answer fails. */
export function answerMessage(
  message: Uint8Array,
  from: Zone,
): Buffer | undefined {
  const client = { address: "127.0.0.1", transport: "udp" } as const;
  const reply = new Answering(() => from).answer(Buffer.from(message), client);
  if (reply instanceof Promise) throw new Error("it asks somebody else");
  return reply;
}

/** `rcode` is there at run time; the package's types leave it out. */
export type Decoded = DecodedPacket & {
  readonly rcode: string;
  readonly opcode: string;
};

/** Decodes with dns-packet: another reader than the one under test. */
export function read(bytes: Uint8Array | undefined): Decoded {
  if (!bytes) throw new Error("there was no reply");
  return decode(Buffer.from(bytes)) as Decoded;
}

export function ask(
  name: string,
  type: RecordType | "ANY" = "A",
  more: Packet = {},
): Buffer {
  return encode({
    type: "query",
    id: 0xbeef,
    questions: [{ name, type: type as RecordType }],
    ...more,
  });
}

export function opt(more: Partial<OptAnswer> = {}): OptAnswer {
  return {
    type: "OPT",
    name: ".",
    udpPayloadSize: 4096,
    extendedRcode: 0,
    ednsVersion: 0,
    flags: 0,
    flag_do: false,
    options: [],
    ...more,
  };
}

export function optOf(reply: Decoded): OptAnswer | undefined {
  return reply.additionals?.find(
    (record: Answer): record is OptAnswer => record.type === "OPT",
  );
}
