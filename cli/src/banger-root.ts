#!/usr/bin/env node
import { isBangerError, reportError } from "@banger/core";
import { runRootHelper } from "./root/run-root-helper.js";

try {
  await runRootHelper();
  process.exit(0);
} catch (error) {
  process.stderr.write(`${describe(error)}\n`);
  process.exit(1);
}

/** For a person who has started it; for the journal a line as all others are. */
function describe(error: unknown): string {
  if (!isBangerError(error) && error instanceof Error)
    return `${error.stack ?? ""}\n${JSON.stringify(reportError(error))}`;
  const report = reportError(error);
  if (!process.stderr.isTTY) return JSON.stringify(report);
  const hint = report.hint === undefined ? "" : `\n  ${report.hint}`;
  return `banger: ${report.message}${hint}`;
}
