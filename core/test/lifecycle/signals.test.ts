import { getEventListeners } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it, vi } from "vitest";
import { abortAfter, withAnySignal } from "@banger/core";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;
const never = new AbortController().signal;

describe("abortAfter", () => {
  it("fires although only a composed signal knows it, and garbage was collected", async () => {
    const fired = vi.fn();
    const compose = (): AbortSignal =>
      AbortSignal.any([never, abortAfter(200)]);
    const signal = compose();
    signal.addEventListener("abort", fired);
    // Not in the tick in which a weak reference was made.
    await sleep(10);
    collect();
    await vi.waitFor(() => expect(fired).toHaveBeenCalledOnce());
    expect(signal.reason).toMatchObject({ name: "TimeoutError" });
  });
});

describe("withAnySignal", () => {
  it("aborts with the first, and leaves nothing on those that live on", async () => {
    const [longLived, owner] = [new AbortController(), new AbortController()];
    const signals = [longLived.signal, owner.signal];
    const work = withAnySignal(signals, async (signal) => {
      expect(signal.aborted).toBe(false);
      owner.abort("left");
      return signal.reason as unknown;
    });
    expect(await work).toBe("left");
    expect(getEventListeners(longLived.signal, "abort")).toEqual([]);
    await expect(
      withAnySignal(signals, (signal) =>
        Promise.reject(signal.reason as Error),
      ),
    ).rejects.toBe("left");
  });
});
