import { createSocket } from "node:dgram";
import { once } from "node:events";
import { RECURSION_DESIRED } from "dns-packet";
import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import { AnswerCache } from "../src/answer-cache.js";
import { askUdp } from "./clients.js";
import { ask, read } from "./messages.js";
import { mutated, mutatedQuery } from "./mutations.js";
import {
  address,
  forwarding,
  nameIn,
  replyTo,
  ScriptedUpstream,
} from "./upstream-bench.js";

vi.setConfig({ testTimeout: 300_000 });

const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

/** Messages with faults; the same ones in every run. */
const messages = 100_000;
const perRound = 1_000;
const seed = 53;

describe("over sockets", () => {
  it("a hundred thousand faulty queries neither end nor stall the server", async () => {
    const upstream = await ScriptedUpstream.start((query) => [
      replyTo(query, { answers: [address(nameIn(query), "192.0.2.7")] }),
    ]);
    undo.push(() => {
      upstream.close();
    });
    const server = await forwarding([upstream.endpoint]);
    undo.push(() => server.close());
    const { at } = server;
    const socket = createSocket("udp4");
    undo.push(() => socket.close());
    socket.bind(0);
    await once(socket, "listening");
    let replies = 0;
    socket.on("message", () => {
      replies++;
    });
    for (let round = 0; round < messages / perRound; round++) {
      const faulty = fc.sample(mutatedQuery, {
        numRuns: perRound,
        seed: seed + round,
      });
      for (const [index, message] of faulty.entries()) {
        socket.send(message, at.port, at.host);
        // As many as are read in one turn; what the kernel drops tests nothing.
        if (index % 25 === 0)
          await new Promise((resolve) => setImmediate(resolve));
      }
      const reply = read(await askUdp(at, ask("web.vm")));
      expect(reply.answers).toMatchObject([{ data: "172.16.0.2" }]);
    }
    expect(replies).toBeGreaterThan(messages / 4);
    expect(server.logger.entries).toMatchObject([{ level: "info" }]);
  });

  it("a hundred thousand faulty answers of an upstream neither end nor stall the server", async () => {
    let faults: readonly Buffer[] = [];
    const upstream = await ScriptedUpstream.start((query) => {
      const good = replyTo(query, {
        answers: [address(nameIn(query), "192.0.2.7")],
      });
      const mine = faults.slice(0, perAnswer).map((fault) => {
        const bytes = Buffer.from(fault);
        // As if it came from one who knows what was asked.
        query.copy(bytes, 0, 0, Math.min(2, bytes.length));
        return bytes;
      });
      faults = faults.slice(perAnswer);
      return [...mine, good];
    });
    undo.push(() => {
      upstream.close();
    });
    const server = await forwarding([upstream.endpoint], {
      guests: { perSecond: 1e6, burst: 1e6 },
      cache: new AnswerCache({ entries: 0, bytes: 0 }),
      lookup: { attemptMs: 300, overallMs: 1_000 },
    });
    undo.push(() => server.close());
    const { at } = server;
    for (let round = 0; round < messages / perRound; round++) {
      const name = `n${String(round)}.example.org`;
      const query = ask(name, "A", { flags: RECURSION_DESIRED });
      const seeds = [
        replyTo(query, { answers: [address(name, "192.0.2.66")] }),
        replyTo(query, { flags: 0x0183 }),
        replyTo(query, {
          answers: [
            { type: "CNAME", name, data: "a.example.net", ttl: 0 },
            address("a.example.net", "192.0.2.66", 0),
          ],
        }),
      ];
      faults = fc.sample(mutated(seeds), {
        numRuns: perRound,
        seed: seed + round,
      });
      const rcodes = new Set<string>();
      while (faults.length > 0) rcodes.add(read(await askUdp(at, query)).rcode);
      for (const rcode of rcodes)
        expect(["NOERROR", "NXDOMAIN", "SERVFAIL"]).toContain(rcode);
      const own = read(await askUdp(at, ask("web.vm")));
      expect(own.answers).toMatchObject([{ data: "172.16.0.2" }]);
    }
  });
});

/** Faulty answers that come before the good one to the same question. */
const perAnswer = 10;
