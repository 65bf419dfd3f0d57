import type { OperationResult } from "./kill-matrix.js";
import type { PointResult } from "./kill-lane.js";
import type { KillOperation } from "./operations.js";

/** Which table of the document it is: what the operations work on, and how when that is not the usual way. */
export type Matrix =
  KillOperation["subject"] | "vm on Firecracker's API" | "vm on a bridge";

const begin = (matrix: Matrix): string =>
  `<!-- begin kill matrix: ${matrix} -->`;
const end = "<!-- end -->";

/** Everything that was wrong, a line each. Pure. */
export function problemsOf(results: readonly OperationResult[]): string[] {
  return results.flatMap(({ operation, points, problems }) => [
    ...points.flatMap((result) =>
      result.problems.map((problem) => `${renderPoint(result)}: ${problem}`),
    ),
    ...problems.map((problem) => `${operation}, at the end: ${problem}`),
  ]);
}

/** `start 12 network.prepare before`. Pure. */
export function renderPoint({ operation, point }: PointResult): string {
  return `${operation} ${point.at} ${point.call} ${point.moment}`;
}

/** Markdown: one row an operation, then one row a step. Pure. */
export function renderKillMatrix(
  results: readonly OperationResult[],
  facts: { readonly date: string; readonly durationMs: number },
): string {
  const all = results.flatMap(({ points }) => points);
  const leaks = problemsOf(results).length;
  return [
    `${facts.date}: ${all.length} kills, ${leaks} leaks, ${minutes(facts.durationMs)} min.`,
    "",
    "| operation | calls | kills | leaks | min |",
    "| --- | --: | --: | --: | --: |",
    ...results.map(({ operation, calls, points, problems, durationMs }) => {
      const found = [...points.flatMap((one) => one.problems), ...problems];
      return `| ${operation} | ${calls} | ${points.length} | ${found.length} | ${minutes(durationMs)} |`;
    }),
    "",
    "Leaks found and the state afterwards, for a kill just before and just after each step:",
    "",
    "| operation | step | call | before | after |",
    "| --- | --: | --- | --- | --- |",
    ...results.flatMap(stepRows),
    "",
  ].join("\n");
}

/** The document with a rendered matrix between its markers, which are added at the end when there are none. Pure. */
export function insertKillMatrix(
  document: string,
  matrix: Matrix,
  rendered: string,
): string {
  const first = begin(matrix);
  const from = document.indexOf(first);
  const to = document.indexOf(end, from);
  if (from === -1 || to === -1)
    return `${document.trimEnd()}\n\n${first}\n\n${rendered}\n${end}\n`.trimStart();
  return `${document.slice(0, from)}${first}\n\n${rendered}\n${document.slice(to)}`;
}

function stepRows({ operation, points }: OperationResult): string[] {
  const steps = [...new Set(points.map(({ point }) => point.at))];
  return steps.map((at) => {
    const ofStep = points.filter(({ point }) => point.at === at);
    const cell = (moment: string): string => {
      const result = ofStep.find(({ point }) => point.moment === moment);
      return result ? `${result.problems.length}, ${result.end}` : "";
    };
    const call = ofStep[0]?.point.call ?? "";
    return `| ${operation} | ${at} | ${call} | ${cell("before")} | ${cell("after")} |`;
  });
}

function minutes(durationMs: number): string {
  return (durationMs / 60_000).toFixed(1);
}
