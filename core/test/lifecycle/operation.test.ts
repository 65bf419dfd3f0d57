import { describe, expect, it } from "vitest";
import { beginOperation, forTeardown, runStage } from "@banger/core";
import { fakeOperation, memoryLogger } from "@banger/core/testing";

describe("beginOperation", () => {
  it("gives each operation an id that is on every log entry", () => {
    const logger = memoryLogger();
    const { signal } = new AbortController();
    const operation = beginOperation({ logger, signal });
    operation.logger.info("Hello");
    expect(operation.id).toMatch(/^op-[0-9a-f]{8}$/);
    expect(logger.entries[0]?.fields).toEqual({ operation: operation.id });
    expect(beginOperation({ logger, signal }).id).not.toBe(operation.id);
    expect(() => operation.progress("stage", "text")).not.toThrow();
  });
});

describe("runStage", () => {
  it("announces, measures and passes the value on", async () => {
    const operation = fakeOperation();
    expect(await runStage(operation, "boot", "waiting", async () => 1)).toBe(1);
    expect(operation.stages).toEqual(["boot: waiting"]);
    expect(operation.timeline.entries()).toMatchObject([
      { kind: "stage", name: "boot" },
    ]);
  });

  it("rejects, without beginning, after an abort", async () => {
    const operation = fakeOperation(AbortSignal.abort());
    let ran = false;
    const stage = runStage(operation, "boot", "", async () => (ran = true));
    await expect(stage).rejects.toMatchObject({ code: "ERR_CANCELLED" });
    expect(ran).toBe(false);
    expect(operation.stages).toEqual([]);
  });
});

describe("forTeardown", () => {
  it("is the same operation without its abort", () => {
    const operation = fakeOperation(AbortSignal.abort());
    const teardown = forTeardown(operation);
    expect(teardown.signal.aborted).toBe(false);
    expect({ ...teardown, signal: operation.signal }).toEqual(operation);
  });
});
