import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, it, vi } from "vitest";
import {
  CancelledError,
  InvalidValueError,
  OperationRegistry,
  type OperationContext,
  type OperationUpdate,
} from "@banger/core";
import { memoryLogger } from "@banger/core/testing";

afterEach(() => {
  vi.useRealTimers();
});

const registryOf = (): OperationRegistry =>
  new OperationRegistry({ logger: memoryLogger() });

/** An operation that runs until the test ends it. */
function begin(
  registry: OperationRegistry,
  what = "start web",
  options: Parameters<OperationRegistry["run"]>[1] = {},
) {
  let resolve: (value: string) => void = () => undefined;
  let reject: (error: unknown) => void = () => undefined;
  const work = new Promise<string>((onDone, onFail) => {
    resolve = onDone;
    reject = onFail;
  });
  let operation: OperationContext | undefined;
  const result = registry.run(what, options, (context) => {
    operation = context;
    return work;
  });
  result.catch(() => undefined);
  if (!operation) throw new Error("it did not begin");
  return { operation, id: operation.id, resolve, reject, result };
}

/** The same, ending when it is aborted. */
function beginCancellable(registry: OperationRegistry, signal?: AbortSignal) {
  const begun = begin(registry, "start web", signal ? { signal } : {});
  begun.operation.signal.addEventListener("abort", () => {
    begun.reject(new CancelledError("boot", begun.operation.signal.reason));
  });
  return begun;
}

describe("an operation", () => {
  it("is listed from its beginning, with what it does and how far it is", async () => {
    const registry = registryOf();
    const { operation, id, resolve, result } = begin(registry, "start web", {
      vm: "web",
    });
    expect(registry.list()).toEqual([
      {
        ...{ id, what: "start web", vm: "web", state: "running" },
        startedAt: expect.stringMatching(/^\d{4}-.*Z$/) as string,
        elapsedMs: expect.any(Number) as number,
        timeline: [],
      },
    ]);
    operation.progress("boot", "waiting");
    await operation.timeline.measure("stage", "prepare", () =>
      Promise.resolve(),
    );
    expect(registry.find(id)).toMatchObject({
      stage: "boot",
      text: "waiting",
      timeline: [{ kind: "stage", name: "prepare" }],
    });
    expect(registry.find("op-other")).toBeUndefined();
    expect(registry.runningCount).toBe(1);
    resolve("done");
    expect(await result).toBe("done");
    expect(registry.runningCount).toBe(0);
    const ended = registry.get(id);
    expect(ended).toMatchObject({ state: "done", stage: "boot" });
    expect(Date.parse(ended.endedAt ?? "")).toBeGreaterThanOrEqual(
      Date.parse(ended.startedAt),
    );
    // A record of the past: its time stands still.
    expect(registry.get(id)).toBe(ended);
  });

  it("hands its progress on to its caller", async () => {
    const said: string[] = [];
    await registryOf().run(
      "x",
      { progress: (stage, text) => said.push(`${stage} ${text}`) },
      (operation) => {
        operation.progress("boot", "waiting");
        return Promise.resolve();
      },
    );
    expect(said).toEqual(["boot waiting"]);
  });

  it("that fails says why, and throws it on", async () => {
    const registry = registryOf();
    const error = new InvalidValueError("no", { hint: "yes" });
    const { id, reject, result } = begin(registry);
    reject(error);
    await expect(result).rejects.toBe(error);
    expect(registry.get(id)).toMatchObject({
      state: "failed",
      error: {
        ...{ code: "ERR_INVALID_VALUE", message: "no", hint: "yes" },
        operationId: id,
      },
    });
  });

  it("has failed when it threw nothing at all", async () => {
    const registry = registryOf();
    const run = registry.run("x", {}, () => {
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
      return Promise.reject(undefined);
    });
    await expect(run).rejects.toBeUndefined();
    expect(registry.list()).toMatchObject([{ state: "failed" }]);
  });

  it("is logged once at each end, a refusal without its stack", async () => {
    const logger = memoryLogger();
    const registry = new OperationRegistry({ logger });
    await registry.run("one", {}, () => Promise.resolve());
    for (const error of [new InvalidValueError("no"), new TypeError("bug")])
      await registry
        .run("two", {}, () => Promise.reject(error))
        .catch(() => undefined);
    const messages = logger.entries.map(({ level, message }) => [
      level,
      message,
    ]);
    expect(messages).toEqual([
      ["info", "Operation began"],
      ["info", "Operation done"],
      ["info", "Operation began"],
      ["info", "Operation refused"],
      ["info", "Operation began"],
      ["error", "Operation failed"],
    ]);
  });
});

describe("cancelling", () => {
  it("aborts, and the operation is cancelled when it has cleaned up", async () => {
    const registry = registryOf();
    const { operation, id, reject, result } = begin(registry);
    expect(registry.cancel(id, "enough")).toMatchObject({
      ...{ id, state: "running", isEnding: true },
    });
    const reason = { code: "ERR_CANCELLED", cause: new Error("enough") };
    expect(operation.signal.reason).toMatchObject(reason);
    // Once more, while it cleans up, is fine.
    registry.cancel(id);
    expect(operation.signal.reason).toMatchObject(reason);
    reject(operation.signal.reason);
    await expect(result).rejects.toMatchObject({ code: "ERR_CANCELLED" });
    const record = registry.get(id);
    expect(record).toMatchObject({
      state: "cancelled",
      error: {
        ...{ code: "ERR_CANCELLED", message: "start web was cancelled" },
        details: ["caused by: enough"],
      },
    });
    expect(record.isEnding).toBeUndefined();
  });

  it("follows the caller's signal, also one that was aborted before", async () => {
    const registry = registryOf();
    const caller = new AbortController();
    const { id, operation, result } = beginCancellable(registry, caller.signal);
    expect(operation.signal.aborted).toBe(false);
    caller.abort(new Error("the client left"));
    await expect(result).rejects.toMatchObject({ code: "ERR_CANCELLED" });
    expect(operation.signal.reason).toMatchObject({
      message: "start web was cancelled",
      cause: new Error("the client left"),
    });
    expect(registry.get(id).state).toBe("cancelled");
    const late = begin(registry, "late", { signal: caller.signal });
    expect(late.operation.signal.aborted).toBe(true);
  });

  it("makes node's abort error a cancellation, and hides no bug", async () => {
    const registry = registryOf();
    const bare = registry.run("x", {}, ({ signal }) =>
      sleep(60_000, undefined, { signal }),
    );
    registry.cancel(registry.list()[0]?.id ?? "");
    await expect(bare).rejects.toMatchObject({ code: "ERR_CANCELLED" });
    const bug = begin(registry);
    registry.cancel(bug.id);
    bug.reject(new TypeError("x is undefined"));
    await expect(bug.result).rejects.toThrow(TypeError);
    expect(registry.get(bug.id)).toMatchObject({
      state: "cancelled",
      error: { code: "ERR_INTERNAL" },
    });
  });

  it("comes too late for one that got done in spite of it, and says so", async () => {
    const registry = registryOf();
    const { id, resolve, result } = begin(registry);
    registry.cancel(id);
    resolve("done");
    await result;
    expect(registry.get(id).state).toBe("done");
    expect(() => registry.cancel(id)).toThrow(
      expect.objectContaining({ code: "ERR_OPERATION_ENDED" }),
    );
  });
});

describe("references", () => {
  it("are ids or prefixes of exactly one", () => {
    const registry = registryOf();
    const { id } = begin(registry);
    expect(registry.get(id.slice(0, -1)).id).toBe(id);
    begin(registry);
    const codeOf = (reference: string): unknown => {
      try {
        return registry.get(reference);
      } catch (error) {
        return (error as { code?: string }).code;
      }
    };
    expect(codeOf("op-")).toBe("ERR_OPERATION_AMBIGUOUS");
    for (let more = 0; more < 5; more++) begin(registry);
    expect(() => registry.get("op-")).toThrow(
      /: op-\w+(, op-\w+){4} and 2 more$/,
    );
    expect(codeOf("")).toBe("ERR_OPERATION_NOT_FOUND");
    expect(codeOf("op-x")).toBe("ERR_OPERATION_NOT_FOUND");
    expect(() => registry.cancel("op-x")).toThrow(/op-x/);
    expect(() => registry.follow("op-x", () => undefined)).toThrow(/op-x/);
  });
});

describe("followers", () => {
  const words = (updates: readonly OperationUpdate[]): string[] =>
    updates.map((update) =>
      update.type === "end"
        ? update.record.state
        : `${update.stage} ${update.text}`,
    );

  it("hear the stages so far, each as it comes, and the end", async () => {
    const registry = registryOf();
    const { operation, id, resolve, result } = begin(registry);
    operation.progress("prepare", "disk");
    operation.progress("prepare", "warning: slow");
    operation.progress("prepare", "network");
    operation.progress("boot", "waiting");
    const early: OperationUpdate[] = [];
    registry.follow(id, (update) => early.push(update));
    expect(words(early)).toEqual([
      "prepare warning: slow",
      "prepare network",
      "boot waiting",
    ]);
    operation.progress("boot", "still");
    resolve("");
    await result;
    expect(words(early).slice(3)).toEqual(["boot still", "done"]);
    const late: OperationUpdate[] = [];
    registry.follow(id, (update) => late.push(update));
    expect(words(late)).toEqual([
      "prepare warning: slow",
      "prepare network",
      "boot still",
      "done",
    ]);
  });

  it("hear nothing after they left, and the others all", () => {
    const registry = registryOf();
    const { operation, id } = begin(registry);
    const heard: string[] = [];
    const listener = (): void => {
      heard.push("one");
    };
    const leave = registry.follow(id, listener);
    registry.follow(id, listener);
    operation.progress("boot", "1");
    leave();
    leave();
    operation.progress("boot", "2");
    expect(heard).toHaveLength(3);
  });
});

describe("memory", () => {
  it("has room for the latest hundred that ended, and for all that run", async () => {
    const registry = registryOf();
    const { id } = begin(registry, "the oldest, which runs on");
    for (let round = 0; round < 150; round++)
      await registry.run(`round ${round}`, {}, () => Promise.resolve());
    const records = registry.list();
    expect(records).toHaveLength(101);
    expect(records[0]?.id).toBe(id);
    expect(records[1]?.what).toBe("round 50");
    expect(records.at(-1)?.what).toBe("round 149");
  });

  it("forgets what ended an hour ago by the monotonic clock, and keeps no timer for it", async () => {
    vi.useFakeTimers();
    const registry = registryOf();
    const { id } = begin(registry, "runs on");
    await registry.run("first", {}, () => Promise.resolve());
    vi.advanceTimersByTime(30 * 60_000);
    await registry.run("second", {}, () => Promise.resolve());
    const whats = (): string[] => registry.list().map(({ what }) => what);
    vi.advanceTimersByTime(30 * 60_000 - 1);
    // A jump of the wall clock is none of an hour.
    vi.setSystemTime(Date.now() + 1_000 * 60 * 60_000);
    expect(whats()).toEqual(["runs on", "first", "second"]);
    vi.advanceTimersByTime(1);
    expect(whats()).toEqual(["runs on", "second"]);
    vi.advanceTimersByTime(60 * 60_000);
    expect(registry.list().map((record) => record.id)).toEqual([id]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("is bounded whatever an operation says", async () => {
    const registry = registryOf();
    const long = "x".repeat(1_000_000);
    const run = registry.run(long, { vm: long }, (operation) => {
      for (let round = 0; round < 2_000; round++)
        operation.progress(`stage ${round}`, long);
      return Promise.reject(
        new InvalidValueError(long, { cause: new Error(`${long}y`) }),
      );
    });
    await expect(run).rejects.toThrow();
    const [record] = registry.list();
    expect(JSON.stringify(record).length).toBeLessThan(10_000);
    const replayed: OperationUpdate[] = [];
    registry.follow(record?.id ?? "", (update) => replayed.push(update));
    expect(replayed.length).toBeLessThanOrEqual(101);
    expect(JSON.stringify(replayed).length).toBeLessThan(100_000);
    expect(replayed.at(-2)).toMatchObject({ stage: "stage 1999" });
  });
});

describe("the daemon's end", () => {
  it("cancels everything and waits until all has cleaned up", async () => {
    const registry = registryOf();
    const [one, two] = [begin(registry), begin(registry)];
    let isOver = false;
    const end = registry.end(60_000).then(() => (isOver = true));
    expect(one.operation.signal.aborted).toBe(true);
    expect(two.operation.signal.aborted).toBe(true);
    one.reject(new CancelledError("one"));
    await new Promise(setImmediate);
    expect(isOver).toBe(false);
    two.resolve("in spite of it");
    await end;
  });

  it("does not wait for ever, nor for nothing", async () => {
    const registry = registryOf();
    await registryOf().end(60_000);
    begin(registry);
    await registry.end(1);
    expect(registry.runningCount).toBe(1);
  });

  it("lets nothing begin after it", async () => {
    const registry = registryOf();
    await registry.end(1);
    const work = vi.fn(() => Promise.resolve());
    await expect(registry.run("late", {}, work)).rejects.toMatchObject({
      code: "ERR_CANCELLED",
    });
    expect(work).not.toHaveBeenCalled();
  });
});
