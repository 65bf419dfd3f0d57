import { describe, expect, it } from "vitest";
import { UndoStack } from "@banger/core";
import { memoryLogger } from "@banger/core/testing";

describe("UndoStack", () => {
  it("undoes newest first, one at a time, and once only", async () => {
    const log: string[] = [];
    const stack = new UndoStack({ logger: memoryLogger() });
    for (const name of ["a", "b"])
      stack.push(name, async () => {
        log.push(`${name} begins`);
        await Promise.resolve();
        log.push(`${name} ends`);
      });
    expect(await stack.unwind()).toEqual([]);
    expect(await stack.unwind()).toEqual([]);
    expect(log).toEqual(["b begins", "b ends", "a begins", "a ends"]);
  });

  it("runs to the end, and logs and returns what failed, also at once", async () => {
    const logger = memoryLogger();
    const stack = new UndoStack({ logger });
    let undone = false;
    stack.push("first", async () => (undone = true));
    stack.push("mount", () => {
      throw new Error("busy", { cause: new Error("EBUSY") });
    });
    stack.push("rule", () => Promise.reject(new Error("gone")));
    expect(await stack.unwind()).toEqual(["rule: gone", "mount: busy: EBUSY"]);
    expect(undone).toBe(true);
    expect(logger.entries.map(({ fields }) => fields["step"])).toEqual([
      "rule",
      "mount",
    ]);
  });
});
