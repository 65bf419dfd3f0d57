import type { Timeline, TimelineEntry } from "@banger/core/client";
import { printableLine } from "./printable.js";
import type { Style } from "./style.js";
import { renderTable } from "./table.js";

/** The stages of an operation with their hooks below them, by start time, and how long all of it took. */
export function renderTimeline(timeline: Timeline, style: Style): string {
  if (timeline.length === 0) return "no start is recorded";
  let stage: TimelineEntry | undefined;
  const rows = timeline.map((entry) => {
    if (entry.kind === "stage") stage = entry;
    const indent = stage !== undefined && isWithin(entry, stage) ? "  " : "";
    const name = `${indent}${printableLine(entry.name)}`;
    return [
      renderTime(entry.startMs),
      renderTime(entry.durationMs),
      entry.failed === true ? `${name}  ${style.red("failed")}` : name,
    ];
  });
  const times = rows.flatMap(([at = "", took = ""]) => [at, took]);
  const width = Math.max(...times.map((time) => time.length));
  const align = (text: string): string => text.padStart(width);
  const total = Math.max(...timeline.map(endOf));
  return renderTable([
    [align("AT"), align("TOOK"), "WHAT"].map((title) => style.bold(title)),
    ...rows.map(([at = "", took = "", what = ""]) => [
      style.dim(align(at)),
      align(took),
      what,
    ]),
    ["", align(renderTime(total)), style.dim("in all")],
  ]);
}

/** A hook that ran after its stage, such as a clean-up, stands on its own. */
function isWithin(entry: TimelineEntry, stage: TimelineEntry): boolean {
  // Both ends were rounded.
  return entry !== stage && endOf(entry) <= endOf(stage) + 1;
}

function endOf({ startMs, durationMs }: TimelineEntry): number {
  return startMs + durationMs;
}

/** Hooks take milliseconds, stages seconds. */
function renderTime(ms: number): string {
  return ms < 1000 ? `${ms} ms` : `${(ms / 1000).toFixed(2)} s`;
}
