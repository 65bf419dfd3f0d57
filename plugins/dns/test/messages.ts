import {
  decode,
  encode,
  type Answer,
  type DecodedPacket,
  type OptAnswer,
  type Packet,
  type RecordType,
} from "dns-packet";
import type { Zone } from "../src/zone.js";

export const zone: Zone = {
  addresses: new Map([
    ["calm-otter", "172.16.0.7"],
    ["web", "127.77.3.1"],
  ]),
  ttlSeconds: 5,
  serial: 2026,
};

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
