import { RECURSION_DESIRED } from "dns-packet";
import { afterEach, describe, expect, it, vi } from "vitest";
import { AnswerCache } from "../src/answer-cache.js";
import { askUdp, frames, TcpClient } from "./clients.js";
import { ask, opt, optOf, read, type Decoded } from "./messages.js";
import {
  address,
  forwarding,
  host,
  nameIn,
  replyTo,
  ScriptedUpstream,
  type UpstreamScript,
} from "./upstream-bench.js";

vi.setConfig({ testTimeout: 60_000 });

const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

async function upstream(script: UpstreamScript): Promise<ScriptedUpstream> {
  const made = await ScriptedUpstream.start(script);
  undo.push(() => {
    made.close();
  });
  return made;
}

async function guestServer(
  upstreams: readonly ScriptedUpstream[],
  more: Parameters<typeof forwarding>[1] = {},
) {
  const made = await forwarding(
    upstreams.map(({ endpoint }) => endpoint),
    more,
  );
  undo.push(() => made.close());
  return made;
}

const question = (name: string, type: "A" | "AAAA" | "TXT" | "NS" = "A") =>
  ask(name, type, { flags: RECURSION_DESIRED });
const one: UpstreamScript = (query) => [
  replyTo(query, { answers: [address(nameIn(query), "192.0.2.7")] }),
];
/** The largest packet that fits a record each. */
const many = (count: number): UpstreamScript => {
  const all = (query: Buffer) =>
    Array.from({ length: count }, (_, n) =>
      address(nameIn(query), `198.51.${String(n >> 8)}.${String(n & 255)}`),
    );
  return (query, transport) =>
    transport === "tcp"
      ? [replyTo(query, { answers: all(query) })]
      : [replyTo(query, { flags: 0x0380 })];
};
const quick = { attemptMs: 150, overallMs: 1_500 };

describe("a guest's question for another name", () => {
  it("is asked of the upstream with an id of our own, and the answer is announced before it leaves", async () => {
    const server = await upstream(one);
    let announced = false;
    const { at, told } = await guestServer([server], {
      resolved: async () => {
        await new Promise((resolve) => setTimeout(resolve, 50));
        announced = true;
      },
    });
    const query = question("Deb.Example.ORG");
    const reply = read(await askUdp(at, query));
    expect(announced).toBe(true);
    expect(reply).toMatchObject({
      id: 0xbeef,
      rcode: "NOERROR",
      flag_aa: false,
      flag_ra: true,
      flag_rd: true,
      questions: [{ name: "Deb.Example.ORG" }],
      answers: [{ name: "Deb.Example.ORG", data: "192.0.2.7", ttl: 60 }],
    });
    expect(told).toEqual([
      {
        guestIp: host,
        name: "deb.example.org",
        addresses: ["192.0.2.7"],
        ttlSeconds: 60,
      },
    ]);
    expect(server.queries).toHaveLength(1);
    const asked = server.queries[0]!.bytes;
    expect(asked.readUInt16BE(0)).not.toBe(0xbeef);
    expect(optOf(read(asked))).toMatchObject({
      udpPayloadSize: 1232,
      flag_do: false,
    });
  });

  it("comes from another port and with another id each time", async () => {
    const server = await upstream(one);
    const { at } = await guestServer([server]);
    for (let n = 0; n < 30; n++)
      await askUdp(at, question(`n${String(n)}.example.org`));
    const ids = server.queries.map(({ bytes }) => bytes.readUInt16BE(0));
    expect(new Set(ids).size).toBeGreaterThan(25);
  });

  it("is answered from memory, with less time each, until that is over", async () => {
    const server = await upstream(one);
    let now = 0;
    const cache = new AnswerCache(undefined, () => now);
    const { at, told } = await guestServer([server], { cache });
    const ttl = async () =>
      read(await askUdp(at, question("a.example.org"))).answers?.[0];
    expect(await ttl()).toMatchObject({ ttl: 60 });
    now = 59.5;
    expect(await ttl()).toMatchObject({ ttl: 1 });
    expect(server.queries).toHaveLength(1);
    expect(told.map(({ ttlSeconds }) => ttlSeconds)).toEqual([60, 1]);
    now = 60;
    expect(await ttl()).toMatchObject({ ttl: 60 });
    expect(server.queries).toHaveLength(2);
  });

  it("is put once when many ask it at once", async () => {
    const server = await upstream(async (query, transport) => {
      await new Promise((resolve) => setTimeout(resolve, 100));
      return one(query, transport);
    });
    const { at } = await guestServer([server]);
    const replies = await Promise.all(
      Array.from({ length: 20 }, () => askUdp(at, question("a.example.org"))),
    );
    for (const reply of replies) expect(read(reply).answers).toHaveLength(1);
    expect(server.queries).toHaveLength(1);
  });

  it("passes aliases on, and announces under the name that was asked for", async () => {
    const server = await upstream((query) => [
      replyTo(query, {
        answers: [
          address("edge.cdn.example", "192.0.2.9", 20),
          { type: "CNAME", name: "www.example.org", data: "edge.cdn.example" },
          // Nobody asked for this one.
          address("bank.example", "192.0.2.66"),
        ],
        additionals: [address("bank.example", "192.0.2.66")],
      }),
    ]);
    const { at, told } = await guestServer([server]);
    const reply = read(await askUdp(at, question("www.example.org")));
    expect(reply.answers).toMatchObject([
      { type: "CNAME", name: "www.example.org", data: "edge.cdn.example" },
      { type: "A", name: "edge.cdn.example", data: "192.0.2.9" },
    ]);
    expect(reply.additionals).toEqual([]);
    expect(told).toMatchObject([
      { name: "www.example.org", addresses: ["192.0.2.9"] },
    ]);
  });

  it("that leads to nothing is told with the SOA record, and remembered for a minute at most", async () => {
    const server = await upstream((query) => [
      replyTo(query, {
        flags: 0x0183,
        authorities: [
          {
            type: "SOA",
            name: "example.org",
            ttl: 3600,
            data: {
              mname: "ns.example.org",
              rname: "h.example.org",
              serial: 1,
              refresh: 1,
              retry: 1,
              expire: 1,
              minimum: 3600,
            },
          },
        ],
      }),
    ]);
    let now = 0;
    const cache = new AnswerCache(undefined, () => now);
    const { at } = await guestServer([server], { cache });
    const reply = read(await askUdp(at, question("no.example.org")));
    expect(reply).toMatchObject({
      rcode: "NXDOMAIN",
      authorities: [{ type: "SOA", name: "example.org" }],
    });
    now = 59;
    await askUdp(at, question("no.example.org"));
    expect(server.queries).toHaveLength(1);
    now = 60;
    await askUdp(at, question("no.example.org"));
    expect(server.queries).toHaveLength(2);
  });

  it("is asked over TCP when the answer is too long for a datagram, and so must the guest", async () => {
    const server = await upstream(many(300));
    const { at } = await guestServer([server]);
    const short = read(await askUdp(at, question("many.example.org")));
    expect(short).toMatchObject({ flag_tc: true, answers: [] });
    expect(server.queries.map(({ transport }) => transport)).toEqual([
      "udp",
      "tcp",
    ]);
    const client = new TcpClient(at);
    undo.push(() => client.socket.destroy());
    await client.send(frames(question("many.example.org")));
    const whole = read((await client.until(1))[0]);
    expect(whole.answers).toHaveLength(300);
    expect(new Set(whole.answers?.map(({ name }) => name))).toEqual(
      new Set(["many.example.org"]),
    );
  });

  it("gets as much over UDP as the guest takes, but no more than passes every link", async () => {
    const server = await upstream(many(60));
    const { at } = await guestServer([server]);
    const size = async (udpPayloadSize: number): Promise<Decoded> =>
      read(
        await askUdp(
          at,
          ask("many.example.org", "A", {
            flags: RECURSION_DESIRED,
            additionals: [opt({ udpPayloadSize })],
          }),
        ),
      );
    expect(await size(4096)).toMatchObject({ flag_tc: false });
    expect(await size(900)).toMatchObject({ flag_tc: true, answers: [] });
    expect(await size(1)).toMatchObject({ flag_tc: true });
    const more = await upstream(many(80));
    const other = await guestServer([more]);
    const reply = await askUdp(
      other.at,
      ask("many.example.org", "A", {
        flags: RECURSION_DESIRED,
        additionals: [opt({ udpPayloadSize: 4096 })],
      }),
    );
    expect(read(reply).flag_tc).toBe(true);
  });

  it("is asked without EDNS of a server that does not know it", async () => {
    const server = await upstream((query, transport) =>
      optOf(read(query))
        ? [replyTo(query, { flags: 0x0181 })]
        : one(query, transport),
    );
    const { at } = await guestServer([server]);
    expect(
      read(await askUdp(at, question("a.example.org"))).answers,
    ).toHaveLength(1);
  });

  it.each([
    ["says nothing", () => []],
    ["fails", (query: Buffer) => [replyTo(query, { flags: 0x0182 })]],
    ["refuses", (query: Buffer) => [replyTo(query, { flags: 0x0185 })]],
    [
      "sends rubbish",
      (query: Buffer) => [
        Buffer.concat([
          replyTo(query, {
            answers: [address(nameIn(query), "192.0.2.1")],
          }).subarray(0, -2),
        ]),
      ],
    ],
  ] satisfies [string, UpstreamScript][])(
    "goes to the next upstream when the first %s",
    async (_, script) => {
      const [bad, good] = [await upstream(script), await upstream(one)];
      const { at } = await guestServer([bad, good], { lookup: quick });
      expect(read(await askUdp(at, question("a.example.org")))).toMatchObject({
        rcode: "NOERROR",
        answers: [{ data: "192.0.2.7" }],
      });
      expect(bad.queries.length).toBeGreaterThan(0);
    },
  );

  it("goes first to those that answer", async () => {
    const [deaf, good] = [await upstream(() => []), await upstream(one)];
    const { at } = await guestServer([deaf, good], { lookup: quick });
    await askUdp(at, question("a.example.org"));
    expect(deaf.queries).toHaveLength(1);
    await askUdp(at, question("b.example.org"));
    expect(deaf.queries).toHaveLength(1);
  });

  it("fails when nobody answers, in time and not for ever", async () => {
    const deaf = await upstream(() => []);
    const { at } = await guestServer([deaf], { lookup: quick });
    expect(read(await askUdp(at, question("a.example.org")))).toMatchObject({
      rcode: "SERVFAIL",
      answers: [],
    });
    expect(deaf.queries).toHaveLength(3);
    const nobody = await guestServer([]);
    expect(read(await askUdp(nobody.at, question("a.example.org"))).rcode).toBe(
      "SERVFAIL",
    );
  });

  it("believes no reply with another id or question", async () => {
    const server = await upstream((query, transport) => {
      const forged = Buffer.from(
        replyTo(query, { answers: [address(nameIn(query), "192.0.2.66")] }),
      );
      forged.writeUInt16BE(query.readUInt16BE(0) ^ 1, 0);
      const other = encodeOther(query);
      const notReply = Buffer.from(query);
      return [forged, other, notReply, ...(one(query, transport) as Buffer[])];
    });
    const { at } = await guestServer([server]);
    expect(
      read(await askUdp(at, question("a.example.org"))).answers,
    ).toMatchObject([{ data: "192.0.2.7" }]);
  });

  it("is not answered with an address that cannot be announced", async () => {
    const server = await upstream(one);
    const { at, logger } = await guestServer([server], {
      resolved: async () => Promise.reject(new Error("no rules")),
    });
    expect(read(await askUdp(at, question("a.example.org"))).rcode).toBe(
      "SERVFAIL",
    );
    expect(logger.entries.at(-1)).toMatchObject({ level: "warn" });
  });
});

function encodeOther(query: Buffer): Buffer {
  const { id } = read(query);
  const questions = [{ type: "A" as const, name: "b.example.org" }];
  return replyTo(query, {
    id: id ?? 0,
    questions,
    answers: [address("b.example.org", "192.0.2.66")],
  });
}

describe("what is not asked of others", () => {
  it.each([
    ["another VM's name", "web.vm", "A", "NOERROR"],
    ["no VM's name", "nobody.vm", "A", "NXDOMAIN"],
    ["a name of one label", "printer", "A", "NXDOMAIN"],
    ["what only the local network knows", "printer.local", "A", "NXDOMAIN"],
    ["this host", "a.localhost", "A", "NXDOMAIN"],
    ["an IPv6 address", "a.example.org", "AAAA", "NOERROR"],
  ] as const)("%s", async (_, name, type, rcode) => {
    const server = await upstream(one);
    const { at } = await guestServer([server]);
    expect(read(await askUdp(at, question(name, type))).rcode).toBe(rcode);
    expect(server.queries).toEqual([]);
  });

  it.each([
    ["every type at once", ask("a.example.org", "ANY", { flags: 0x0100 })],
    ["a zone transfer", ask("a.example.org", "AXFR", { flags: 0x0100 })],
    ["no recursion", ask("a.example.org")],
    ["a name with a dot in a label", dotted(question("a.deb.example.org"))],
  ])("a question with %s", async (_, query) => {
    const server = await upstream(one);
    const { at } = await guestServer([server]);
    expect(read(await askUdp(at, query)).rcode).toBe("REFUSED");
    expect(server.queries).toEqual([]);
  });

  it("a question of somebody who is no guest, or of a guest who may not", async () => {
    const server = await upstream(one);
    const refused: string[] = [];
    const { at } = await guestServer([server], {
      mayResolve: (_ip, name) => {
        refused.push(name);
        return name.endsWith(".allowed.example");
      },
    });
    expect(read(await askUdp(at, question("A.example.org")))).toMatchObject({
      rcode: "REFUSED",
      answers: [],
    });
    expect(read(await askUdp(at, question("www.allowed.example"))).rcode).toBe(
      "NOERROR",
    );
    expect(refused).toEqual(["a.example.org", "www.allowed.example"]);
    expect(server.queries).toHaveLength(1);
    const socket = new TcpClient(at);
    undo.push(() => socket.socket.destroy());
  });

  it("more than one guest may have looked up at once, while others are answered", async () => {
    const deaf = await upstream(() => []);
    const { at } = await guestServer([deaf], {
      guests: { perGuest: 4 },
      lookup: { attemptMs: 1_000, overallMs: 1_000 },
    });
    const replies = Array.from({ length: 12 }, (_, n) =>
      askUdp(at, question(`n${String(n)}.example.org`)),
    );
    expect(read(await askUdp(at, question("web.vm"))).rcode).toBe("NOERROR");
    for (const reply of await Promise.all(replies))
      expect(read(reply).rcode).toBe("SERVFAIL");
    expect(deaf.queries.length).toBeLessThanOrEqual(8);
  });

  it("more a second than a guest may", async () => {
    const server = await upstream(one);
    const { at } = await guestServer([server], {
      guests: { perSecond: 0.001, burst: 3 },
    });
    const rcodes: string[] = [];
    for (let n = 0; n < 5; n++)
      rcodes.push(
        read(await askUdp(at, question(`n${String(n)}.example.org`))).rcode,
      );
    expect(rcodes).toEqual([
      "NOERROR",
      "NOERROR",
      "NOERROR",
      "SERVFAIL",
      "SERVFAIL",
    ]);
    expect(read(await askUdp(at, question("n0.example.org"))).rcode).toBe(
      "NOERROR",
    );
  });
});

/** Makes one label of the first two of `a.deb.…`. */
function dotted(query: Buffer): Buffer {
  const bytes = Buffer.from(query);
  bytes[12] = 5;
  bytes[14] = ".".charCodeAt(0);
  return bytes;
}
