import type { OperationRecord } from "@banger/core/client";
import { renderAge, renderDuration } from "./duration.js";
import { printableLine } from "./printable.js";
import type { Style } from "./style.js";
import { renderTable } from "./table.js";
import { renderTimeline } from "./timeline.js";

export function renderOperationTable(
  operations: readonly OperationRecord[],
  style: Style,
): string {
  if (operations.length === 0) return "";
  const header = ["ID", "WHAT", "STATE", "STAGE", "ELAPSED", "AGE"];
  return renderTable([
    header.map((title) => style.bold(title)),
    ...operations.map((operation) => [
      operation.id,
      printableLine(operation.what),
      renderState(operation, style),
      printableLine(operation.stage ?? ""),
      renderDuration(operation.elapsedMs),
      renderAge(operation.startedAt),
    ]),
  ]);
}

/** All of a record, a line each, and where its time went. */
export function renderOperation(
  operation: OperationRecord,
  style: Style,
): string {
  const { id, what, stage, text, startedAt, endedAt, error } = operation;
  const progress = [stage, text].filter((part) => part !== undefined);
  const fields: readonly (readonly [string, string | undefined])[] = [
    ["id", id],
    ["what", what],
    ["state", renderState(operation, style)],
    ["stage", progress.length === 0 ? undefined : progress.join(": ")],
    ["error", error && `${error.message} [${error.code}]`],
    ...(error?.details ?? []).map((line) => ["", line] as const),
    ["hint", error?.hint],
    ["started", startedAt],
    ["ended", endedAt],
    ["took", renderDuration(operation.elapsedMs)],
  ];
  const table = renderTable(
    fields.flatMap(([name, value]) =>
      value === undefined
        ? []
        : [[style.dim(name), name === "state" ? value : printableLine(value)]],
    ),
  );
  return operation.timeline.length === 0
    ? table
    : `${table}\n\n${renderTimeline(operation.timeline, style)}`;
}

function renderState(
  { state, isEnding }: OperationRecord,
  style: Style,
): string {
  switch (state) {
    case "running":
      return isEnding ? style.yellow("cancelling") : style.green(state);
    case "failed":
      return style.red(state);
    case "cancelled":
      return style.yellow(state);
    case "done":
      return style.dim(state);
  }
}
