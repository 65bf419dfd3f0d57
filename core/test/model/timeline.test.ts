import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { TimelineRecorder } from "@banger/core";

const sleep = (ms: number) => new Promise((done) => setTimeout(done, ms));

describe("TimelineRecorder", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it("records start and length, sorted by start, and passes the value on", async () => {
    const timeline = new TimelineRecorder();
    const value = timeline.measure("stage", "prepare", async () => {
      await sleep(10);
      await timeline.measure("hook", "nat prepareHost", () => sleep(30));
      return 7;
    });
    await vi.advanceTimersByTimeAsync(40);
    expect(await value).toBe(7);
    expect(timeline.entries()).toEqual([
      { kind: "stage", name: "prepare", startMs: 0, durationMs: 40 },
      { kind: "hook", name: "nat prepareHost", startMs: 10, durationMs: 30 },
    ]);
    expect(timeline.elapsedMs).toBe(40);
  });

  it("has a stage before its hooks, also when they began together", async () => {
    const timeline = new TimelineRecorder();
    const pending = timeline.measure("stage", "preflight", async () => {
      await timeline.measure("hook", "dns preflight", () => Promise.resolve());
      expect(timeline.entries()).toMatchObject([{ name: "dns preflight" }]);
      await sleep(5);
    });
    await vi.advanceTimersByTimeAsync(5);
    await pending;
    expect(timeline.entries()).toMatchObject([
      { name: "preflight", startMs: 0 },
      { name: "dns preflight", startMs: 0 },
    ]);
  });

  it("marks what throws, also at once, and throws it on", async () => {
    const timeline = new TimelineRecorder();
    const failure = new Error("no");
    await expect(
      timeline.measure("stage", "boot", () => {
        throw failure;
      }),
    ).rejects.toBe(failure);
    expect(timeline.entries()).toMatchObject([{ name: "boot", failed: true }]);
  });
});
