import { RECURSION_DESIRED, type Packet } from "dns-packet";
import { describe, expect, it } from "vitest";
import {
  answerMessage,
  ask,
  opt,
  optOf,
  read,
  zone,
  type Decoded,
} from "./messages.js";

const answer = (query: Buffer): Decoded => read(answerMessage(query, zone));
const soa = {
  type: "SOA",
  ttl: 5,
  data: { mname: "localhost", serial: 2026, minimum: 5 },
};

describe("a name of a running VM", () => {
  it("has an authoritative A record with the short TTL", () => {
    const reply = answer(ask("calm-otter.vm"));
    expect(reply).toMatchObject({
      id: 0xbeef,
      type: "response",
      rcode: "NOERROR",
      flag_aa: true,
      flag_ra: false,
      flag_tc: false,
      questions: [{ name: "calm-otter.vm", type: "A", class: "IN" }],
      answers: [
        { name: "calm-otter.vm", type: "A", ttl: 5, data: "172.16.0.7" },
      ],
      authorities: [],
      additionals: [],
    });
  });

  it("is found in any case, and the case is repeated", () => {
    const reply = answer(ask("CaLm-oTTer.Vm"));
    expect(reply.questions?.[0]?.name).toBe("CaLm-oTTer.Vm");
    expect(reply.answers).toMatchObject([
      { name: "CaLm-oTTer.Vm", data: "172.16.0.7" },
    ]);
  });

  it.each(["AAAA", "TXT", "MX", "NS", "SOA", "CNAME"] as const)(
    "has no %s record: no error, no answer, SOA beside it",
    (type) => {
      expect(answer(ask("web.vm", type))).toMatchObject({
        rcode: "NOERROR",
        flag_aa: true,
        answers: [],
        authorities: [{ name: "vm", ...soa }],
      });
    },
  );

  it("keeps a type that no library knows, byte for byte", () => {
    const query = ask("web.vm");
    query.writeUInt16BE(65_399, query.length - 4);
    const reply = answerMessage(query, zone)!;
    expect(reply.subarray(12, query.length)).toEqual(query.subarray(12));
    expect(read(reply)).toMatchObject({ rcode: "NOERROR", answers: [] });
  });

  it("answers ANY with its A record", () => {
    expect(answer(ask("web.vm", "ANY"))).toMatchObject({
      rcode: "NOERROR",
      answers: [{ type: "A", data: "127.77.3.1" }],
      authorities: [],
    });
  });
});

describe("a name that no VM has", () => {
  it.each([
    "nobody.vm",
    "foo.calm-otter.vm",
    "a.b.c.vm",
    "_dns.vm",
    "calm-otter.vm.vm",
    "vm.vm",
    "__proto__.vm",
  ])("%s does not exist, and the SOA says for how long", (name) => {
    expect(answer(ask(name))).toMatchObject({
      rcode: "NXDOMAIN",
      flag_aa: true,
      answers: [],
      authorities: [{ name: "vm", ...soa }],
    });
  });

  it("is remembered for 5 s at most, whatever the TTL", () => {
    const slow = { ...zone, ttlSeconds: 3600 };
    const reply = read(answerMessage(ask("nobody.vm"), slow));
    expect(reply.authorities).toMatchObject([soa]);
    const found = read(answerMessage(ask("web.vm"), slow));
    expect(found.answers).toMatchObject([{ ttl: 3600 }]);
  });

  it("does not exist when a dot inside a label only looks like a name", () => {
    const query = rawQuery(["calm-otter.vm"]);
    expect(answer(query).rcode).toBe("REFUSED");
    expect(answer(rawQuery(["x.calm-otter", "vm"])).rcode).toBe("NXDOMAIN");
  });

  it("keeps bytes that are no text", () => {
    const query = rawQuery(["\xff\x00\xfe", "vm"]);
    const reply = answerMessage(query, zone)!;
    expect(reply.subarray(12, query.length)).toEqual(query.subarray(12));
    expect(read(reply).rcode).toBe("NXDOMAIN");
  });
});

describe("the top of the zone", () => {
  it("has SOA and NS", () => {
    expect(answer(ask("vm", "SOA"))).toMatchObject({
      rcode: "NOERROR",
      flag_aa: true,
      answers: [{ name: "vm", ...soa }],
    });
    expect(answer(ask("VM", "NS"))).toMatchObject({
      answers: [{ name: "VM", type: "NS", data: "localhost" }],
    });
    const types = answer(ask("vm", "ANY")).answers?.map(({ type }) => type);
    expect(types).toEqual(["SOA", "NS"]);
  });

  it("has no address", () => {
    expect(answer(ask("vm", "A"))).toMatchObject({
      rcode: "NOERROR",
      answers: [],
      authorities: [soa],
    });
  });
});

describe("what is not ours", () => {
  it.each(["example.com", "vm.example.com", ".", "calm-otter", "xvm"])(
    "refuses %s",
    (name) => {
      expect(answer(ask(name))).toMatchObject({
        rcode: "REFUSED",
        flag_aa: false,
        answers: [],
        authorities: [],
      });
    },
  );

  it.each(["CH", "HS", "ANY"] as const)("refuses class %s", (klass) => {
    const questions: Packet["questions"] = [
      { name: "web.vm", type: "A", class: klass },
    ];
    expect(answer(ask("web.vm", "A", { questions })).rcode).toBe("REFUSED");
  });

  it.each(["AXFR", "IXFR"] as const)("gives no list away: %s", (type) => {
    expect(answer(ask("vm", type)).rcode).toBe("REFUSED");
  });

  it.each([1, 2, 4, 5, 6, 15])("does not implement opcode %i", (opcode) => {
    const reply = answer(ask("web.vm", "A", { flags: opcode << 11 }));
    expect(reply).toMatchObject({ id: 0xbeef, rcode: "NOTIMP", answers: [] });
    expect((reply.flags ?? 0) >> 11).toBe(opcode);
  });
});

describe("flags", () => {
  it("copies RD and never sets RA", () => {
    const reply = answer(ask("web.vm", "A", { flags: RECURSION_DESIRED }));
    expect(reply).toMatchObject({ flag_rd: true, flag_ra: false });
    expect(answer(ask("web.vm"))).toMatchObject({ flag_rd: false });
  });
});

describe("EDNS", () => {
  it("is repeated when it was there, with the DO bit", () => {
    const plain = answer(ask("web.vm", "A", { additionals: [opt()] }));
    expect(optOf(plain)).toMatchObject({
      udpPayloadSize: 1232,
      ednsVersion: 0,
      extendedRcode: 0,
      flag_do: false,
      options: [],
    });
    const dnssec = opt({ flags: 0x8000 });
    const withDo = answer(ask("no.vm", "A", { additionals: [dnssec] }));
    expect(optOf(withDo)?.flag_do).toBe(true);
    expect(withDo.rcode).toBe("NXDOMAIN");
  });

  it("has no version above 0", () => {
    const query = ask("web.vm", "A", {
      additionals: [opt({ ednsVersion: 1 })],
    });
    const reply = answer(query);
    expect(optOf(reply)).toMatchObject({ extendedRcode: 1, ednsVersion: 0 });
    expect(reply).toMatchObject({ rcode: "NOERROR", answers: [] });
  });

  it("ignores options, a COOKIE for one", () => {
    const query = ask("web.vm", "A", {
      additionals: [
        opt({ options: [{ code: 10, data: Buffer.alloc(8) } as never] }),
      ],
    });
    expect(answer(query)).toMatchObject({
      rcode: "NOERROR",
      answers: [{ data: "127.77.3.1" }],
    });
  });

  it.each([
    ["twice", { additionals: [opt(), opt()] }],
    ["outside the additional section", { authorities: [opt()] }],
  ])("is a format error %s", (_, more) => {
    const reply = answer(ask("web.vm", "A", more));
    expect(reply).toMatchObject({ rcode: "FORMERR", additionals: [] });
  });

  it("is a format error under another name than the root's", () => {
    const query = ask("web.vm", "A", { additionals: [opt()] });
    const named = Buffer.concat([
      query.subarray(0, query.length - 11),
      Buffer.from([1, 0x61]),
      query.subarray(query.length - 11),
    ]);
    expect(answer(named).rcode).toBe("FORMERR");
  });
});

describe("messages that are no question", () => {
  it("answers none or several with a format error", () => {
    const question = { name: "web.vm", type: "A" as const };
    const none = answer(ask("", "A", { questions: [] }));
    expect(none).toMatchObject({ id: 0xbeef, rcode: "FORMERR", questions: [] });
    const two = answer(ask("", "A", { questions: [question, question] }));
    expect(two).toMatchObject({ rcode: "FORMERR", questions: [], answers: [] });
  });

  it("answers bytes behind the end with a format error", () => {
    const query = Buffer.concat([ask("web.vm"), Buffer.from([0])]);
    expect(answer(query).rcode).toBe("FORMERR");
  });

  it("does not answer responses, or two servers could talk for ever", () => {
    const response = answerMessage(ask("web.vm"), zone)!;
    expect(answerMessage(response, zone)).toBeUndefined();
  });

  it("does not answer what breaks off, wherever it does", () => {
    const query = ask("web.vm", "A", { additionals: [opt()] });
    for (let length = 0; length < query.length; length++) {
      expect(answerMessage(query.subarray(0, length), zone)).toBeUndefined();
    }
    expect(answerMessage(query, zone)).toBeDefined();
  });

  it("does not answer pointers, reserved label types and long names", () => {
    const pointer = rawQuery([]);
    pointer.set([0xc0, 0x0c], 12);
    expect(answerMessage(pointer, zone)).toBeUndefined();
    const reserved = rawQuery(["a", "vm"]);
    reserved[12] = 0x41;
    expect(answerMessage(reserved, zone)).toBeUndefined();
    const label = "x".repeat(63);
    const long = rawQuery([label, label, label, "x".repeat(60), "vm"]);
    expect(answerMessage(long, zone)).toBeUndefined();
  });

  it("answers the longest name within 512 bytes", () => {
    const label = "x".repeat(63);
    // 3 * 64 + 59 + 3 + 1 = 255 bytes
    const longest = rawQuery([label, label, label, "x".repeat(58), "vm"]);
    const reply = answerMessage(longest, zone)!;
    expect(read(reply).rcode).toBe("NXDOMAIN");
    expect(reply.length).toBeLessThanOrEqual(512);
  });
});

/** A query made by hand: labels may hold any byte, which no encoder lets through. */
function rawQuery(labels: readonly string[]): Buffer {
  const header = Buffer.alloc(12);
  header.writeUInt16BE(1, 4);
  return Buffer.concat([
    header,
    ...labels.map((label) =>
      Buffer.concat([
        Buffer.from([label.length]),
        Buffer.from(label, "latin1"),
      ]),
    ),
    Buffer.from([0, 0, 1, 0, 1]),
  ]);
}
