import { PassThrough } from "node:stream";
import type { TimelineEntry } from "@banger/core";
import { describe, expect, it } from "vitest";
import { styleOf } from "../../src/render/style.js";
import { renderTimeline } from "../../src/render/timeline.js";

const plain = styleOf(new PassThrough(), {});
const entry = (
  kind: TimelineEntry["kind"],
  name: string,
  startMs: number,
  durationMs: number,
): TimelineEntry => ({ kind, name, startMs, durationMs });

describe("renderTimeline", () => {
  it("has hooks below their stage, with times", () => {
    const timeline = [
      entry("stage", "preflight", 3, 12),
      entry("hook", "dns preflight", 3, 5),
      entry("hook", "nat preflight", 3, 11),
      entry("stage", "boot", 15, 4812),
      entry("stage", "publish", 4827, 40),
      entry("hook", "dns postStart", 4828, 39),
    ];
    expect(renderTimeline(timeline, plain).split("\n")).toEqual([
      "    AT    TOOK  WHAT",
      "  3 ms   12 ms  preflight",
      "  3 ms    5 ms    dns preflight",
      "  3 ms   11 ms    nat preflight",
      " 15 ms  4.81 s  boot",
      "4.83 s   40 ms  publish",
      "4.83 s   39 ms    dns postStart",
      "        4.87 s  in all",
    ]);
  });

  it("marks what failed, and keeps the clean-up out of it", () => {
    const timeline: TimelineEntry[] = [
      { ...entry("stage", "prepare", 0, 20), failed: true },
      { ...entry("hook", "nat prepareHost", 5, 15), failed: true },
      entry("hook", "nat cleanup", 22, 8),
    ];
    const lines = renderTimeline(timeline, plain).split("\n");
    expect(lines.slice(1, 4)).toEqual([
      " 0 ms  20 ms  prepare  failed",
      " 5 ms  15 ms    nat prepareHost  failed",
      "22 ms   8 ms  nat cleanup",
    ]);
  });

  it("says when there is none, and shows no control characters", () => {
    expect(renderTimeline([], plain)).toBe("no start is recorded");
    const hostile = [entry("stage", "a\u001b[2Jb", 0, 1)];
    expect(renderTimeline(hostile, plain)).not.toContain("\u001b");
  });
});
