import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { SystemHostResolver } from "../../src/resolver/system-host-resolver.js";

const never = new AbortController().signal;
const address = "127.77.0.1";

it("asks the host: localhost is known, and what nobody may have is not", async () => {
  const resolver = new SystemHostResolver();
  expect(await resolver.resolves("localhost", "127.0.0.1", never)).toBe(true);
  expect(await resolver.resolves("localhost", address, never)).toBe(false);
  expect(await resolver.resolves("web.invalid", address, never)).toBe(false);
});

describe("a name", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it.each([
    ["its address", [address], true],
    ["another address too", [address, "192.0.2.1"], false],
    ["none", [], false],
  ])("that leads to %s", async (_what, found, expected) => {
    const resolver = new SystemHostResolver(() => Promise.resolve(found));
    expect(await resolver.resolves("web.vm", address, never)).toBe(expected);
  });

  it("is looked up once in some seconds", async () => {
    const lookUp = vi.fn().mockRejectedValueOnce(new Error("ENOTFOUND"));
    const resolver = new SystemHostResolver(
      lookUp.mockResolvedValue([address]),
    );
    expect(await resolver.resolves("web.vm", address, never)).toBe(false);
    await vi.advanceTimersByTimeAsync(4_000);
    expect(await resolver.resolves("web.vm", address, never)).toBe(false);
    expect(lookUp).toHaveBeenCalledTimes(1);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await resolver.resolves("web.vm", address, never)).toBe(true);
    expect(lookUp).toHaveBeenCalledTimes(2);
  });

  it("leads nowhere while the resolver hangs, which keeps one thread and no caller", async () => {
    let answer = (_found: readonly string[]): void => undefined;
    const lookUp = vi.fn(
      (): Promise<readonly string[]> =>
        new Promise((resolve) => (answer = resolve)),
    );
    const resolver = new SystemHostResolver(lookUp);
    const asked = Promise.all(
      ["web.vm", "db.vm", "web.vm"].map((name) =>
        resolver.resolves(name, address, never),
      ),
    );
    await vi.advanceTimersByTimeAsync(300);
    expect(await asked).toEqual([false, false, false]);
    expect(lookUp.mock.calls).toEqual([["web.vm"]]);
    answer([address]);
    expect(await resolver.resolves("web.vm", address, never)).toBe(true);
    expect(lookUp.mock.calls).toEqual([["web.vm"], ["db.vm"]]);
  });

  it("is not waited for by a caller that has left", async () => {
    const resolver = new SystemHostResolver(() => new Promise(() => undefined));
    const owner = new AbortController();
    const asked = resolver.resolves("web.vm", address, owner.signal);
    owner.abort();
    expect(await asked).toBe(false);
    expect(await resolver.resolves("web.vm", address, owner.signal)).toBe(
      false,
    );
  });
});
