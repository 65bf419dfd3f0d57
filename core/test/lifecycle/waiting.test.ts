import { describe, expect, it } from "vitest";
import { settledOrAborted, withinLimit } from "@banger/core";

const never = () => new Promise<never>(() => undefined);
const limit = { what: "the step", limitMs: 5, graceMs: 5 };
const amply = { what: "the step", limitMs: 60_000, graceMs: 5 };

describe("withinLimit", () => {
  it("gives what the work gives", async () => {
    expect(await withinLimit(amply, async () => 7)).toBe(7);
    const failing = withinLimit(amply, () => Promise.reject(new Error("no")));
    await expect(failing).rejects.toThrow("no");
  });

  it("aborts the work at the limit and says which limit it was", async () => {
    let seen: AbortSignal | undefined;
    const late = withinLimit(limit, (signal) => {
      seen = signal;
      return new Promise((_, reject) => {
        signal.addEventListener("abort", () => reject(new Error("aborted")));
      });
    });
    await expect(late).rejects.toMatchObject({
      code: "ERR_TIME_LIMIT",
      message: "the step did not end within 0.005 s",
    });
    expect(seen?.aborted).toBe(true);
  });

  it("takes a result that comes within the grace", async () => {
    const work = (signal: AbortSignal) =>
      new Promise<string>((resolve) => {
        signal.addEventListener("abort", () => resolve("just so"));
      });
    expect(await withinLimit({ ...limit, graceMs: 60_000 }, work)).toBe(
      "just so",
    );
  });

  it("leaves work behind that does not honour its signal", async () => {
    await expect(withinLimit(limit, never)).rejects.toMatchObject({
      code: "ERR_TIME_LIMIT",
    });
  });

  it("ends when its owner leaves, before or during", async () => {
    for (const owner of [AbortSignal.abort(), AbortSignal.timeout(1)])
      await expect(
        withinLimit({ ...amply, owner }, never),
      ).rejects.toMatchObject({ code: "ERR_CANCELLED" });
  });
});

describe("settledOrAborted", () => {
  it("ends with the turn, however that ends, or with an abort", async () => {
    const { signal } = new AbortController();
    await settledOrAborted(Promise.resolve(), signal);
    await settledOrAborted(Promise.reject(new Error("no")), signal);
    await settledOrAborted(never(), AbortSignal.abort());
  });
});
