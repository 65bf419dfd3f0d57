import type { ErrorReport } from "@banger/core/client";
import { printable, printableLine } from "./printable.js";
import type { Style } from "./style.js";

/** Something that went wrong beside what the command was for. */
export function renderWarning(
  what: string,
  { code, message }: ErrorReport,
  style: Style,
): string {
  return `${style.yellow("warning:")} ${printableLine(what)}: ${printableLine(message)} ${style.dim(`[${code}]`)}`;
}

/** An error for people: message, details, hint, and where to look it up. */
export function renderError(report: ErrorReport, style: Style): string {
  const { code, message, details = [], hint, operationId } = report;
  const origin = [code, ...(operationId === undefined ? [] : [operationId])];
  return [
    `${style.red("banger:")} ${printable(message)}`,
    ...details.flatMap((detail) =>
      printable(detail)
        .split("\n")
        .map((line) => `  ${line}`),
    ),
    ...(hint === undefined
      ? []
      : [`${style.bold("hint:")} ${printable(hint)}`]),
    style.dim(`[${origin.join(", ")}]`),
  ].join("\n");
}
