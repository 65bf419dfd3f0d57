import { PassThrough, Duplex } from "node:stream";
import { isBangerError } from "@banger/core";
import { describe, expect, it } from "vitest";
import { AgentClient } from "../../src/guest-agent/agent-client.js";
import { AgentFrames } from "../../src/guest-agent/agent-frames.js";
import { agentLimits } from "../../src/guest-agent/agent-limits.js";
import { parseReply } from "../../src/guest-agent/agent-reply.js";

/** Repeatable: a failing run names its seed. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const samples = [
  '{"return": {}}\n',
  '{"return": 123456789}\n',
  '{"error": {"class": "GenericError", "desc": "bad"}}\n',
  '\u00ff{"return": 42}\n',
  '{"return": [{"name": "eth0", "ip-addresses": []}]}\n{"return": {}}\n',
].map((text) => Buffer.from(text, "latin1"));

function mutate(random: (below: number) => number): Buffer {
  const bytes = [...samples[random(samples.length)]!];
  for (let change = random(6); change >= 0; change--) {
    const at = random(bytes.length + 1);
    const choice = random(5);
    if (choice === 0) bytes.splice(at, 1 + random(4));
    else if (choice === 1) bytes.splice(at, 0, random(256));
    else if (choice === 2)
      bytes.splice(at, 0, [0xff, 0x0a, 0x22, 0x7b, 0x5c][random(5)]!);
    else if (choice === 3) bytes.splice(at, 0, ...bytes.slice(0, random(60)));
    else if (at < bytes.length) bytes[at] = bytes[at]! ^ (1 << random(8));
  }
  return Buffer.from(bytes);
}

describe("20,000 mutated replies", () => {
  it("each give lines that are values or typed errors, cut anywhere the same", () => {
    const outcomes = new Map<string, number>();
    for (let seed = 0; seed < 20_000; seed++) {
      const random = randomFrom(seed);
      const bytes = mutate(random);
      const whole = new AgentFrames(1_000);
      const pieces = new AgentFrames(1_000);
      const begin = Buffer.from([0xff, 0x0a]);
      const lines = [...whole.push(begin), ...whole.push(bytes)];
      const cut = [...pieces.push(begin)];
      for (let at = 0; at < bytes.length;) {
        const next = at + 1 + random(9);
        cut.push(...pieces.push(bytes.subarray(at, next)));
        at = next;
      }
      expect(cut, `seed ${seed}`).toEqual(lines);
      for (const { line } of lines) {
        let outcome = "value";
        try {
          parseReply("guest-ping", line);
        } catch (error) {
          if (!isBangerError(error)) throw error;
          outcome = error.code;
        }
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      }
    }
    // Every branch was really met.
    expect([...outcomes.keys()].sort()).toEqual([
      "ERR_AGENT_PROTOCOL",
      "ERR_AGENT_REFUSED",
      "value",
    ]);
  });

  it("leave a client that always settles and still works", async () => {
    const never = new AbortController().signal;
    const tally = { value: 0, typed: 0 };
    for (let seed = 0; seed < 2_000; seed++) {
      const random = randomFrom(seed * 7 + 1);
      let honest = false;
      const toHost = new PassThrough();
      const transport = Duplex.from({
        readable: toHost,
        writable: new PassThrough().on("data", (chunk: Buffer) => {
          const request = JSON.parse(
            chunk.toString("latin1").replaceAll("\u00ff", ""),
          ) as { execute: string; arguments?: { id: number } };
          if (request.execute === "guest-sync-delimited")
            toHost.write(
              Buffer.from(
                `\u00ff{"return": ${request.arguments?.id ?? 0}}\n`,
                "latin1",
              ),
            );
          else toHost.write(honest ? '{"return": {}}\n' : mutate(random));
        }),
      });
      const client = new AgentClient(() => Promise.resolve(transport), {
        ...agentLimits,
        replyTimeoutMs: 3,
      });
      await client.request("guest-ping", {}, never).then(
        () => tally.value++,
        (error: unknown) => {
          if (!isBangerError(error)) throw error;
          tally.typed++;
        },
      );
      honest = true;
      // One mutated reply may hold two lines; synchronising again throws the second away.
      const again = await client
        .request("guest-ping", {}, never)
        .catch(() => client.request("guest-ping", {}, never));
      expect(again, `seed ${seed}`).toBeDefined();
      client.close();
    }
    expect(tally.value).toBeGreaterThan(20);
    expect(tally.typed).toBeGreaterThan(20);
  }, 60_000);
});

describe("AgentFrames", () => {
  it("holds no more than one line of the permitted length", () => {
    const frames = new AgentFrames(10_000);
    for (const _ of frames.push(Buffer.from([0xff]))) expect.fail();
    let refused = 0;
    for (let round = 0; round < 50_000; round++) {
      try {
        for (const _ of frames.push(Buffer.from("a"))) expect.fail();
      } catch (error) {
        refused++;
        expect(error).toMatchObject({ code: "ERR_AGENT_PROTOCOL" });
      }
      expect(frames.heldBytes).toBeLessThanOrEqual(10_000);
    }
    expect(refused).toBe(1);
    expect([...frames.push(Buffer.from("b\n\u00ffc\n", "latin1"))]).toEqual([
      { delimited: true, line: Buffer.from("c") },
    ]);
  });
});
