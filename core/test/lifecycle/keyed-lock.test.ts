import { getEventListeners } from "node:events";
import { setImmediate } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { KeyedLock } from "@banger/core";

const never = new AbortController().signal;

/** A holder that stays until it is told to leave. */
function holder(lock: KeyedLock, key: string, signal = never) {
  let leave = (): void => undefined;
  const state = { entered: false, leave: () => leave() };
  const done = lock.run(key, signal, () => {
    state.entered = true;
    return new Promise<void>((resolve) => (leave = resolve));
  });
  return { state, done };
}

describe("KeyedLock", () => {
  it("lets holders of one key in one at a time, in the order in which they came", async () => {
    const lock = new KeyedLock();
    const log: number[] = [];
    let inside = 0;
    await Promise.all(
      [1, 2, 3, 4].map((n) =>
        lock.run("vm", never, async () => {
          expect(++inside).toBe(1);
          await setImmediate();
          log.push(n);
          inside--;
        }),
      ),
    );
    expect(log).toEqual([1, 2, 3, 4]);
  });

  it("does not let keys wait for each other", async () => {
    const lock = new KeyedLock();
    const held = holder(lock, "a");
    expect(await lock.run("b", never, async () => "free")).toBe("free");
    held.state.leave();
    await held.done;
  });

  it("goes on after a holder that throws, and throws that on", async () => {
    const lock = new KeyedLock();
    const failure = new Error("no");
    const failed = lock.run("vm", never, () => Promise.reject(failure));
    const next = lock.run("vm", never, async () => "next");
    await expect(failed).rejects.toBe(failure);
    expect(await next).toBe("next");
  });

  it("gives up the place of a cancelled waiter, and keeps everyone else out until the holder leaves", async () => {
    const lock = new KeyedLock();
    const first = holder(lock, "vm");
    const aborts = new AbortController();
    const waiter = holder(lock, "vm", aborts.signal);
    aborts.abort();
    await expect(waiter.done).rejects.toMatchObject({ code: "ERR_CANCELLED" });
    const third = holder(lock, "vm");
    await setImmediate();
    expect(waiter.state.entered).toBe(false);
    expect(third.state.entered).toBe(false);
    first.state.leave();
    await first.done;
    await setImmediate();
    expect(third.state.entered).toBe(true);
    third.state.leave();
    await third.done;
  });

  it("lets those behind a cancelled waiter in", async () => {
    const lock = new KeyedLock();
    const first = holder(lock, "vm");
    const aborts = new AbortController();
    const waiter = holder(lock, "vm", aborts.signal);
    const third = lock.run("vm", never, async () => "third");
    aborts.abort();
    await expect(waiter.done).rejects.toThrow();
    first.state.leave();
    expect(await third).toBe("third");
  });

  it("does not begin with an aborted signal, and does not end work that has begun", async () => {
    const lock = new KeyedLock();
    const late = holder(lock, "vm", AbortSignal.abort());
    await expect(late.done).rejects.toMatchObject({ code: "ERR_CANCELLED" });
    expect(late.state.entered).toBe(false);
    const aborts = new AbortController();
    const begun = lock.run("vm", aborts.signal, async () => {
      aborts.abort();
      await setImmediate();
      return "done";
    });
    expect(await begun).toBe("done");
  });

  it("listens to nothing while nobody is waited for", async () => {
    const lock = new KeyedLock();
    const { signal } = new AbortController();
    const work = lock.run("vm", signal, async () => {
      expect(getEventListeners(signal, "abort")).toHaveLength(0);
    });
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
    await work;
  });

  it("forgets keys that nobody holds", async () => {
    const lock = new KeyedLock();
    const aborts = new AbortController();
    const first = holder(lock, "a");
    const waiter = holder(lock, "a", aborts.signal);
    aborts.abort();
    await expect(waiter.done).rejects.toThrow();
    expect(lock.size).toBe(1);
    first.state.leave();
    await first.done;
    await lock
      .run("b", never, () => Promise.reject(new Error("no")))
      .catch(() => undefined);
    await setImmediate();
    expect(lock.size).toBe(0);
  });
});
