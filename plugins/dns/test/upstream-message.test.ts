import { encode, type Answer, type Packet } from "dns-packet";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseQuery, type Question } from "../src/query.js";
import {
  lifetimeOf,
  readUpstream,
  type UpstreamAnswer,
} from "../src/upstream-message.js";
import { ask } from "./messages.js";
import { mutated } from "./mutations.js";
import { address } from "./upstream-bench.js";

const id = 0x1234;

function question(name: string, type: "A" | "MX" | "TXT" = "A"): Question {
  const [asked] = parseQuery(ask(name, type))?.questions ?? [];
  if (!asked) throw new Error("no question");
  return asked;
}

function message(answers: readonly Answer[], more: Packet = {}): Buffer {
  return encode({
    type: "response",
    id,
    flags: 0x0180,
    questions: [{ name: "www.example.org", type: "A" }],
    answers: [...answers],
    ...more,
  });
}

function answerIn(bytes: Buffer, asked = question("www.example.org")) {
  const reading = readUpstream(bytes, id, asked);
  if (reading.kind !== "answer") throw new Error(`it is ${reading.kind}`);
  return reading.answer;
}

const alias = (name: string, data: string): Answer => ({
  type: "CNAME",
  name,
  data,
  ttl: 30,
});
const soa = (name: string, ttl = 60, minimum = 60): Answer => ({
  type: "SOA",
  name,
  ttl,
  data: {
    mname: "ns.example.org",
    rname: "h.example.org",
    serial: 1,
    refresh: 1,
    retry: 1,
    expire: 1,
    minimum,
  },
});

describe("what an upstream says", () => {
  it("is read with names that are written out", () => {
    // A CNAME whose target, and an address whose owner, are pointers to names before them.
    const bytes = Buffer.concat([
      message([]),
      Buffer.from("c00c000500010000001e0006036364" + "6ec010", "hex"),
      Buffer.from("c02d00010001000000280004c0000207", "hex"),
    ]);
    bytes.writeUInt16BE(2, 6);
    const { answers } = answerIn(bytes);
    expect(answers.map(({ data, owner }) => [String(owner), data])).toEqual([
      [
        "\u0003www\u0007example\u0003org\0",
        Buffer.from("\u0003cdn\u0007example\u0003org\0"),
      ],
      ["\u0003cdn\u0007example\u0003org\0", Buffer.of(192, 0, 2, 7)],
    ]);
  });

  it.each([
    ["another id", (bytes: Buffer) => bytes.writeUInt16BE(id + 1, 0)],
    ["a query", (bytes: Buffer) => bytes.writeUInt8(1, 2)],
    ["another opcode", (bytes: Buffer) => bytes.writeUInt8(0xa1, 2)],
    ["another question", (bytes: Buffer) => bytes.write("xxx", 13)],
    ["another type", (bytes: Buffer) => bytes.writeUInt16BE(28, 29)],
    ["two questions", (bytes: Buffer) => bytes.writeUInt16BE(2, 4)],
  ])("is not believed when it is %s", (_, change) => {
    const bytes = message([address("www.example.org", "192.0.2.7")]);
    change(bytes);
    expect(readUpstream(bytes, id, question("www.example.org")).kind).toBe(
      "foreign",
    );
  });

  it.each([
    ["a record beyond the end", (bytes: Buffer) => bytes.subarray(0, -1)],
    [
      "more records than there are",
      (bytes: Buffer) => {
        bytes.writeUInt16BE(9, 6);
        return bytes;
      },
    ],
    [
      "more records than anybody has",
      (bytes: Buffer) => {
        bytes.writeUInt16BE(65_535, 6);
        return bytes;
      },
    ],
    [
      "a pointer to itself",
      (bytes: Buffer) => {
        bytes.writeUInt16BE(0xc000 | 33, 33);
        return bytes;
      },
    ],
    [
      "a pointer forward",
      (bytes: Buffer) => {
        bytes.writeUInt16BE(0xc000 | 40, 33);
        return bytes;
      },
    ],
  ])("is broken with %s", (_, change) => {
    const bytes = change(message([address("www.example.org", "192.0.2.7")]));
    expect(readUpstream(bytes, id, question("www.example.org")).kind).toBe(
      "broken",
    );
  });

  it("is broken with an address of another length, or an alias of itself", () => {
    const long = Buffer.concat([
      message([]),
      Buffer.from("c00c0001000100000028000500000000ff", "hex"),
    ]);
    long.writeUInt16BE(1, 6);
    const asked = question("www.example.org");
    expect(readUpstream(long, id, asked).kind).toBe("broken");
    const circle = message([alias("www.example.org", "www.example.org")]);
    expect(readUpstream(circle, id, asked).kind).toBe("broken");
  });

  it("counts only as far as it was asked for", () => {
    const { answers, authorities } = answerIn(
      message(
        [
          address("evil.example", "192.0.2.66"),
          alias("www.example.org", "a.example.net"),
          alias("other.example", "evil.example"),
          address("a.example.net", "192.0.2.1"),
          address("a.example.net", "192.0.2.2"),
        ],
        { authorities: [soa("example.net")] },
      ),
    );
    expect(answers.map(({ type, data }) => [type, data.at(-1)])).toEqual([
      [5, 0],
      [1, 1],
      [1, 2],
    ]);
    expect(authorities).toEqual([]);
  });

  it("names an authority only for what lies below it", () => {
    const none = (owner: string) =>
      answerIn(message([], { authorities: [soa(owner)] })).authorities;
    expect(none("example.org")).toHaveLength(1);
    expect(none("org")).toHaveLength(1);
    expect(none("example.net")).toEqual([]);
    expect(none("sub.www.example.org")).toEqual([]);
  });

  it("is a failure or truncated when it says so", () => {
    const asked = question("www.example.org");
    expect(readUpstream(message([], { flags: 0x0182 }), id, asked)).toEqual({
      kind: "failure",
      rcode: 2,
    });
    expect(readUpstream(message([], { flags: 0x0380 }), id, asked).kind).toBe(
      "truncated",
    );
    const bare = message([], { flags: 0x0181 }).subarray(0, 12);
    bare.writeUInt16BE(0, 4);
    expect(readUpstream(bare, id, asked)).toEqual({
      kind: "failure",
      rcode: 1,
    });
  });
});

describe("how long it may be remembered", () => {
  const lifetime = (bytes: Buffer): number => lifetimeOf(answerIn(bytes));

  it("is the shortest time of its records, an hour at most", () => {
    const ttl = (...ttls: number[]) =>
      lifetime(
        message(
          ttls.map((one) => address("www.example.org", "192.0.2.7", one)),
        ),
      );
    expect(ttl(300, 40)).toBe(40);
    expect(ttl(86_400)).toBe(3_600);
    expect(ttl(0)).toBe(0);
    expect(ttl(0x80000000)).toBe(0);
  });

  it("is what the authority says of nothing, a minute at most", () => {
    const none = (...authorities: Answer[]) =>
      lifetime(message([], { authorities }));
    expect(none(soa("org", 3_600, 3_600))).toBe(60);
    expect(none(soa("org", 20, 3_600))).toBe(20);
    expect(none(soa("org", 3_600, 10))).toBe(10);
    expect(none()).toBe(0);
  });
});

describe("anything at all that an upstream sends", () => {
  const asked = question("www.example.org");
  const seeds = [
    message([address("www.example.org", "192.0.2.7")]),
    message([
      alias("www.example.org", "a.example.net"),
      address("a.example.net", "192.0.2.1"),
    ]),
    message([], { authorities: [soa("example.org")] }),
    message([], { flags: 0x0183, authorities: [soa("org")] }),
    message([
      {
        type: "MX",
        name: "www.example.org",
        data: { preference: 1, exchange: "mail.example.org" },
      },
      { type: "TXT", name: "www.example.org", data: "text" },
    ]),
    message(
      Array.from({ length: 20 }, () => address("www.example.org", "192.0.2.7")),
    ),
  ];

  it("is read to an end, and nothing of it is beyond its bounds", () => {
    const kinds = new Map<string, number>();
    const check = (bytes: Buffer): void => {
      const reading = readUpstream(bytes, id, asked);
      kinds.set(reading.kind, (kinds.get(reading.kind) ?? 0) + 1);
      if (reading.kind === "answer") requireBounded(reading.answer, bytes);
    };
    fc.assert(fc.property(mutated(seeds), check), {
      numRuns: 100_000,
      seed: 53,
    });
    // Otherwise the faults would be so wild, or so rare, that they test next to nothing.
    for (const kind of ["answer", "broken", "foreign", "failure"])
      expect(kinds.get(kind) ?? 0, kind).toBeGreaterThan(100);
    expect(kinds.has("truncated")).toBe(true);
  }, 120_000);

  it("comes to an end, whatever its pointers say", () => {
    // As many records as there may be, the name of each a chain of pointers as long as can be.
    const links = Array.from({ length: 8_000 }, (_, n) => {
      const link = Buffer.alloc(2);
      link.writeUInt16BE(0xc000 | (n === 0 ? 12 : 31 + 2 * n));
      return link;
    });
    const bytes = Buffer.concat([message([]), ...links]);
    bytes.writeUInt16BE(1_024, 6);
    expect(readUpstream(bytes, id, asked).kind).toBe("broken");
  });
});

function requireBounded(
  { answers, authorities }: UpstreamAnswer,
  bytes: Buffer,
): void {
  const records = [...answers, ...authorities];
  const isBounded = records.every(
    ({ owner, ttlSeconds, data }) =>
      owner.length <= 255 && ttlSeconds <= 3_600 && data.length <= 65_535,
  );
  if (!isBounded || records.length > 1_025)
    throw new Error(`out of bounds: ${bytes.toString("hex")}`);
}
