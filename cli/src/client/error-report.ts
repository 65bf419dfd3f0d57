import {
  isBangerError,
  reportError,
  type ErrorKind,
  type ErrorReport,
} from "@banger/core/client";

const kinds: readonly ErrorKind[] = [
  "usage",
  "not-found",
  "conflict",
  "unavailable",
  "cancelled",
  "failed",
];

/** The value as an error report, when it is one. Unknown fields are dropped. Pure. */
export function parseErrorReport(value: unknown): ErrorReport | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { code, kind, message, hint, details, operationId } = value as Record<
    string,
    unknown
  >;
  if (typeof code !== "string" || typeof message !== "string") return undefined;
  return {
    code,
    kind: kinds.find((known) => known === kind) ?? "failed",
    message,
    ...(typeof hint === "string" ? { hint } : {}),
    ...(Array.isArray(details)
      ? { details: details.filter((line) => typeof line === "string") }
      : {}),
    ...(typeof operationId === "string" ? { operationId } : {}),
  };
}

/** The same for JSON text. */
export function parseErrorReportText(text: string): ErrorReport | undefined {
  try {
    return parseErrorReport(JSON.parse(text));
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** What to show of an error. One that came from the daemon keeps what the daemon said of it. */
export function reportToShow(error: unknown): ErrorReport {
  const carried = (error as { report?: ErrorReport } | undefined)?.report;
  if (isBangerError(error) && carried !== undefined) return carried;
  const { hint, ...rest } = reportError(error);
  if (isBangerError(error) && hint !== undefined) return { ...rest, hint };
  return isBangerError(error)
    ? rest
    : { ...rest, hint: "This is a bug in banger" };
}
