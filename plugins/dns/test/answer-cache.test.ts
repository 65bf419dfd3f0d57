import { describe, expect, it } from "vitest";
import { AnswerCache } from "../src/answer-cache.js";
import { addressRecord } from "../src/resource-record.js";
import type { UpstreamAnswer } from "../src/upstream-message.js";
import { encodeName } from "../src/wire-name.js";

const answer = (ttlSeconds = 60): UpstreamAnswer => ({
  rcode: 0,
  answers: [
    addressRecord(encodeName(["www", "example"]), ttlSeconds, "192.0.2.7"),
  ],
  authorities: [],
});

describe("what is remembered", () => {
  it("is bounded in number, and the one used least recently goes first", () => {
    const cache = new AnswerCache({ entries: 3, bytes: 1e6 });
    for (const key of ["a", "b", "c"]) cache.store(key, answer());
    cache.find("a");
    cache.store("d", answer());
    expect(["a", "b", "c", "d"].filter((key) => cache.find(key))).toEqual([
      "a",
      "c",
      "d",
    ]);
  });

  it("is bounded in bytes, whatever comes", () => {
    const cache = new AnswerCache({ entries: 1e6, bytes: 10_000 });
    for (let n = 0; n < 1_000; n++) cache.store(`name ${String(n)}`, answer());
    expect(cache.bytes).toBeLessThanOrEqual(10_000);
    expect(cache.size).toBeGreaterThan(5);
    expect(cache.find("name 999")).toBeDefined();
    const huge = { ...answer(), answers: Array(100).fill(answer().answers[0]) };
    cache.store("huge", huge);
    expect(cache.find("huge")).toBeUndefined();
    expect(cache.find("name 999")).toBeDefined();
  });

  it("counts no byte twice when it is replaced, forgotten or over", () => {
    let now = 0;
    const cache = new AnswerCache(undefined, () => now);
    cache.store("a", answer());
    const once = cache.bytes;
    cache.store("a", answer());
    expect(cache.bytes).toBe(once);
    now = 61;
    expect(cache.find("a")).toBeUndefined();
    expect(cache.bytes).toBe(0);
    cache.store("a", answer());
    cache.store("a", answer(0));
    expect([cache.bytes, cache.size]).toEqual([0, 0]);
  });

  it("grows older without being changed", () => {
    let now = 100;
    const cache = new AnswerCache(undefined, () => now);
    cache.store("a", answer());
    now = 110.9;
    expect(cache.find("a")?.answers[0]?.ttlSeconds).toBe(50);
    now = 120;
    expect(cache.find("a")?.answers[0]?.ttlSeconds).toBe(40);
  });
});
