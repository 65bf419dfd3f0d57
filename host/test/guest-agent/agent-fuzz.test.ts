import { PassThrough, Duplex } from "node:stream";
import { isDeepStrictEqual } from "node:util";
import { abortAfter, isBangerError } from "@banger/core";
import { describe, expect, it, vi } from "vitest";
import { AgentClient } from "../../src/guest-agent/agent-client.js";
import { AgentFrames } from "../../src/guest-agent/agent-frames.js";
import { agentLimits } from "../../src/guest-agent/agent-limits.js";
import { parseReply } from "../../src/guest-agent/agent-reply.js";
import {
  bytesOf,
  fieldsOf,
  integerOf,
} from "../../src/guest-agent/agent-values.js";
import { parseExecStatus } from "../../src/guest-agent/guest-process.js";
import { parseGuestTime } from "../../src/guest-agent/guest-time.js";
import { VsockAnswer } from "../../src/guest-agent/vsock-answer.js";
import { AgentBench, transports } from "./agent-bench.js";
import { wellBehaved } from "./fake-agent.js";

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
  '{"return": {"pid": 4711}}\n',
  '{"return": {"exited": true, "exitcode": 0, "out-data": "aGVsbG8K"}}\n',
  '{"return": {"exited": true, "signal": 15, "err-data": "bm8K"}}\n',
  '{"return": {"count": 5, "buf-b64": "aGVsbG8=", "eof": true}}\n',
  '{"return": 1795269800000000000}\n',
];

function mutate(
  random: (below: number) => number,
  texts: readonly string[] = samples,
): Buffer {
  const bytes = [...Buffer.from(texts[random(texts.length)]!, "latin1")];
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

/** Whatever reads the value of an answer. */
const readers: Readonly<Record<string, (value: unknown) => unknown>> = {
  status: parseExecStatus,
  time: parseGuestTime,
  pid: (value) =>
    integerOf("guest-exec", fieldsOf("guest-exec", value)["pid"], 1, 2 ** 22),
  bytes: (value) => bytesOf("read", fieldsOf("read", value)["buf-b64"], 1_000),
};

describe("100,000 mutated replies", () => {
  it("each give lines that are values or typed errors, cut anywhere the same", () => {
    const outcomes = new Map<string, number>();
    const attempt = (what: string, work: () => unknown): unknown => {
      let outcome = "value";
      let value: unknown;
      try {
        value = work();
      } catch (error) {
        if (!isBangerError(error)) throw error;
        outcome = error.code;
      }
      const key = `${what} ${outcome}`;
      outcomes.set(key, (outcomes.get(key) ?? 0) + 1);
      return value;
    };
    for (let seed = 0; seed < 100_000; seed++) {
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
      // `expect` with a message for each of so many would take most of the time.
      if (!isDeepStrictEqual(cut, lines))
        expect(cut, `seed ${seed}`).toEqual(lines);
      for (const { line } of lines) {
        const value = attempt("reply", () => parseReply("guest-ping", line));
        if (value === undefined) continue;
        for (const [name, read] of Object.entries(readers))
          attempt(name, () => read(value));
      }
    }
    // Every branch was really met.
    expect([...outcomes.keys()].sort()).toEqual([
      "bytes ERR_AGENT_PROTOCOL",
      "bytes value",
      "pid ERR_AGENT_PROTOCOL",
      "pid value",
      "reply ERR_AGENT_PROTOCOL",
      "reply ERR_AGENT_REFUSED",
      "reply value",
      "status ERR_AGENT_PROTOCOL",
      "status value",
      "time ERR_AGENT_PROTOCOL",
      "time value",
    ]);
  }, 60_000);

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

describe("100,000 mutated answers to a connection over vsock", () => {
  it("are each an answer, none yet, or a typed error; cut anywhere the same, and none is kept beyond its line", () => {
    const answers = ["OK 1073741824\n", "OK 7\nrest", "OK 0\n\u00ff{}\n"];
    const outcomes = new Set<string>();
    for (let seed = 0; seed < 100_000; seed++) {
      const random = randomFrom(seed * 3 + 2);
      const bytes = mutate(random, answers);
      const whole = outcomeOf([bytes]);
      const pieces: Buffer[] = [];
      for (let at = 0; at < bytes.length;) {
        const next = at + 1 + random(5);
        pieces.push(bytes.subarray(at, next));
        at = next;
      }
      const cut = outcomeOf(pieces);
      if (whole !== cut) expect(cut, `seed ${seed}`).toBe(whole);
      outcomes.add(whole.replace(/ .*/s, ""));
    }
    expect([...outcomes].sort()).toEqual([
      "ERR_AGENT_PROTOCOL",
      "stream",
      "waiting",
    ]);
  }, 60_000);

  /** What becomes of the pieces; with the stream's first bytes when there is one. */
  const outcomeOf = (pieces: readonly Buffer[]): string => {
    const answer = new VsockAnswer();
    try {
      for (const [at, piece] of pieces.entries()) {
        const rest = answer.push(piece);
        if (!rest) continue;
        const stream = Buffer.concat([rest, ...pieces.slice(at + 1)]);
        return `stream ${stream.toString("latin1")}`;
      }
      return "waiting";
    } catch (error) {
      if (!isBangerError(error)) throw error;
      return error.code;
    }
  };
});

/** What an honest agent says to a command, one that is not about synchronising. */
const rightAnswers: Readonly<Record<string, string>> = {
  "guest-exec": '{"return": {"pid": 4711}}\n',
  "guest-exec-status":
    '{"return": {"exited": true, "exitcode": 0, "out-data": "aGVsbG8K"}}\n',
  "guest-get-time": '{"return": 1795269800000000000}\n',
};

describe.each(transports)(
  "1,000 questions over %s with mutated answers, on a real socket",
  (...row) => {
    it("leave an agent that always settles and still works", async () => {
      const bench = await AgentBench.make(row, {
        replyTimeoutMs: 5,
        openTimeoutMs: 20,
        syncTimeoutMs: 200,
        syncIntervalMs: 5,
        slowSyncIntervalMs: 5,
      });
      const { agent, fake, vm } = bench;
      const never = new AbortController().signal;
      const tally = { value: 0, typed: 0 };
      try {
        await bench.listen();
        for (let seed = 0; seed < 1_000; seed++) {
          const random = randomFrom(seed * 11 + 5);
          fake.answer = (request, socket) => {
            const right = rightAnswers[request.execute];
            // Most are honest, or nothing that takes several answers would come to its end.
            if (random(3) === 0)
              return mutate(random, right === undefined ? samples : [right]);
            return right ?? wellBehaved(request, socket);
          };
          fake.connect = () =>
            random(10) > 0 ? "OK 1\n" : mutate(random, ["OK 1073741824\n"]);
          const work = [
            () => agent.exec(vm, { argv: ["id"] }, abortAfter(30)),
            () => agent.clockOffset(vm, never),
            () => agent.facts(vm, never),
            () => agent.ping(vm, never),
          ];
          await work[random(work.length)]!().then(
            () => tally.value++,
            (error: unknown) => {
              if (!isBangerError(error)) throw error;
              tally.typed++;
            },
          );
          if (random(20) === 0) fake.hangUp();
        }
        fake.answer = wellBehaved;
        fake.connect = () => "OK 1\n";
        fake.hangUp();
        await vi.waitFor(() => agent.ping(vm, never));
        expect(tally.value).toBeGreaterThan(50);
        expect(tally.typed).toBeGreaterThan(500);
      } finally {
        await bench.remove();
      }
    }, 60_000);
  },
);

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
