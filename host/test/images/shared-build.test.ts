import type { OperationContext } from "@banger/core";
import { fakeOperation } from "@banger/core/testing";
import { describe, expect, it } from "vitest";
import { SharedBuilds } from "../../src/images/shared-build.js";

/** Builds that the test ends itself; an abort ends one only when the test says that it has cleaned up. */
function controlled(): {
  start: (operation: OperationContext) => Promise<string>;
  builds: {
    operation: OperationContext;
    resolve: (value: string) => void;
    reject: (error: Error) => void;
  }[];
} {
  const builds: ReturnType<typeof controlled>["builds"] = [];
  return {
    builds,
    start: (operation) =>
      new Promise((resolve, reject) => {
        builds.push({ operation, resolve, reject });
      }),
  };
}

function caller(): ReturnType<typeof fakeOperation> & { leave: () => void } {
  const abort = new AbortController();
  return Object.assign(fakeOperation(abort.signal), {
    leave: () => {
      abort.abort();
    },
  });
}

const cancelled = { code: "ERR_CANCELLED" };

describe("SharedBuilds", () => {
  it("runs one build for callers at the same time, and tells all of them how far it is", async () => {
    const { start, builds } = controlled();
    const shared = new SharedBuilds<string>();
    const [one, two] = [caller(), caller()];
    const results = [
      shared.join("a", one, start),
      shared.join("a", two, start),
    ];
    builds[0]?.operation.progress("packages", "42");
    builds[0]?.resolve("image");
    expect(await Promise.all(results)).toEqual(["image", "image"]);
    expect(builds).toHaveLength(1);
    expect([one.stages, two.stages]).toEqual([
      ["packages: 42"],
      ["packages: 42"],
    ]);
  });

  it("builds different things, and the same thing later, on their own", async () => {
    const { start, builds } = controlled();
    const shared = new SharedBuilds<string>();
    const results = ["a", "b"].map((key) => shared.join(key, caller(), start));
    builds.forEach(({ resolve }, index) => {
      resolve(String(index));
    });
    expect(await Promise.all(results)).toEqual(["0", "1"]);
    const later = shared.join("a", caller(), start);
    builds[2]?.resolve("2");
    expect(await later).toBe("2");
  });

  it("goes on when one of two leaves", async () => {
    const { start, builds } = controlled();
    const shared = new SharedBuilds<string>();
    const [one, two] = [caller(), caller()];
    const left = shared.join("a", one, start);
    const stays = shared.join("a", two, start);
    one.leave();
    await expect(left).rejects.toMatchObject(cancelled);
    expect(builds[0]?.operation.signal.aborted).toBe(false);
    builds[0]?.resolve("image");
    expect(await stays).toBe("image");
  });

  it("ends when the last one leaves, who waits for the clean-up", async () => {
    const { start, builds } = controlled();
    const shared = new SharedBuilds<string>();
    const one = caller();
    let isOver = false;
    const left = shared.join("a", one, start).finally(() => (isOver = true));
    left.catch(() => undefined);
    one.leave();
    await new Promise(setImmediate);
    expect(builds[0]?.operation.signal.aborted).toBe(true);
    expect(isOver).toBe(false);
    builds[0]?.reject(new Error("cleaned up"));
    await expect(left).rejects.toMatchObject(cancelled);
  });

  it("gives a new build to who comes while an abandoned one still cleans up", async () => {
    const { start, builds } = controlled();
    const shared = new SharedBuilds<string>();
    const one = caller();
    const left = shared.join("a", one, start);
    left.catch(() => undefined);
    one.leave();
    await new Promise(setImmediate);
    const next = shared.join("a", caller(), start);
    builds[0]?.reject(new Error("cleaned up"));
    await expect(left).rejects.toMatchObject(cancelled);
    // The end of the first must not make the second one invisible.
    const joined = shared.join("a", caller(), start);
    builds[1]?.resolve("second");
    expect(await Promise.all([next, joined])).toEqual(["second", "second"]);
    expect(builds).toHaveLength(2);
  });

  it("counts callers that share one progress function", async () => {
    const { start, builds } = controlled();
    const shared = new SharedBuilds<string>();
    const one = caller();
    const two = { ...caller(), progress: one.progress };
    const left = shared.join("a", one, start);
    const stays = shared.join("a", two, start);
    one.leave();
    await expect(left).rejects.toMatchObject(cancelled);
    expect(builds[0]?.operation.signal.aborted).toBe(false);
    builds[0]?.resolve("image");
    expect(await stays).toBe("image");
  });

  it("hands a failure to everybody and starts nothing after an abort", async () => {
    const { start, builds } = controlled();
    const shared = new SharedBuilds<string>();
    const results = [1, 2].map(() => shared.join("a", caller(), start));
    builds[0]?.reject(new Error("no mirror"));
    for (const result of results)
      await expect(result).rejects.toThrow("no mirror");
    const gone = caller();
    gone.leave();
    await expect(shared.join("a", gone, start)).rejects.toMatchObject(
      cancelled,
    );
    expect(builds).toHaveLength(1);
  });
});
