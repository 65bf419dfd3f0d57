import { describe, expect, it, vi } from "vitest";
import {
  isRoot,
  lineOf,
  ownerId,
  send,
  sendAs,
  startHelper,
} from "./helper-bench.js";

const mutations = 10_000;
const atOnce = 16;

/** Repeatable: a failing run names its seed. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const samples = [
  lineOf("test.echo", { text: "hello" }, { operationId: "op-0123abcd" }),
  lineOf("test.echo", { text: "\ud800\u0000é" }),
  lineOf("test.nothing", undefined),
  lineOf("test.fail", { how: "known" }),
  lineOf("helper.ping", {}),
  lineOf("test.echo", { text: "x".repeat(2_000) }),
];

/** Bytes that mean something to JSON, to lines and to UTF-8. */
const telling = Buffer.from('"{}[],:\\\n\0u-19eE.\xff\xc3', "latin1");

function mutate(random: (below: number) => number): Buffer {
  const bytes = [...Buffer.from(samples[random(samples.length)]!)];
  for (let change = random(6); change >= 0; change--) {
    const at = random(bytes.length + 1);
    const choice = random(6);
    if (choice === 0) bytes.splice(at, 1 + random(8));
    else if (choice === 1) bytes.splice(at, 0, random(256));
    else if (choice === 2)
      bytes.splice(at, 0, telling[random(telling.length)]!);
    else if (choice === 3) bytes.splice(at, 0, ...bytes.slice(0, random(80)));
    else if (choice === 4) bytes.length = at;
    else if (at < bytes.length) bytes[at] = bytes[at]! ^ (1 << random(8));
  }
  return Buffer.from(bytes);
}

describe.runIf(isRoot)("mutated requests", () => {
  it("get a typed answer each, and the helper serves on", async () => {
    const seed = Date.now() % 2 ** 32;
    const random = randomFrom(seed);
    const rejections = vi.fn();
    process.on("unhandledRejection", rejections);
    const bench = await startHelper();
    const codes = new Map<string, number>();
    for (let done = 0; done < mutations; done += atOnce) {
      await Promise.all(
        Array.from({ length: atOnce }, async () => {
          const bytes = mutate(random);
          const reply = await send(bench.socketPath, bytes, true);
          const { ok, error } = reply;
          const code = ok === true ? "ok" : (error?.code ?? "none");
          codes.set(code, (codes.get(code) ?? 0) + 1);
          if (code === "none" || code === "ERR_INTERNAL")
            expect.fail(
              `seed ${String(seed)}: ${JSON.stringify(bytes.toString("latin1"))} got ${JSON.stringify(reply)}`,
            );
        }),
      );
    }
    process.off("unhandledRejection", rejections);
    expect(rejections).not.toHaveBeenCalled();
    expect(codes.get("ERR_PRIVILEGED_PROTOCOL")).toBeGreaterThan(1_000);
    expect(codes.get("ERR_PRIVILEGED_INPUT")).toBeGreaterThan(10);
    expect(codes.get("ERR_PRIVILEGED_UNKNOWN")).toBeGreaterThan(10);
    expect(
      bench.logger.entries.filter(({ level }) => level === "error"),
    ).toEqual([]);
    expect(
      await sendAs(
        ownerId,
        bench.socketPath,
        lineOf("test.echo", { text: "after" }),
      ),
    ).toEqual({ ok: true, output: { text: "after" } });
  }, 120_000);
});
