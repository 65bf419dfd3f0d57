import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { settledWithin } from "../../src/daemon/settled-within.js";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

it("tells whether the work ended in time, and leaves no timer", async () => {
  expect(await settledWithin(1_000, Promise.resolve())).toBe(true);
  const late = settledWithin(1_000, new Promise(() => undefined));
  await vi.advanceTimersByTimeAsync(1_000);
  expect(await late).toBe(false);
  const failing = settledWithin(1_000, Promise.reject(new Error("no")));
  await expect(failing).rejects.toThrow("no");
  expect(vi.getTimerCount()).toBe(0);
});
