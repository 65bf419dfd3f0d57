import type { Check } from "@banger/core";
import type { EntryProblem } from "./preflight.js";

/** Pure: what was found, as checks. */
export function fileSyncChecks(
  count: number,
  problems: readonly EntryProblem[],
): readonly Check[] {
  const id = "file-sync.entries";
  const title = "host files that guests receive";
  const noun = `${String(count)} ${count === 1 ? "entry" : "entries"}`;
  if (problems.length === 0) {
    const detail = count === 0 ? "none are configured" : `${noun}, all there`;
    return [{ id, title, status: "pass", detail }];
  }
  const messages = problems.map(({ message }) => message).join("; ");
  return [
    {
      id,
      title,
      status: problems.some(({ unreadable }) => unreadable) ? "fail" : "warn",
      detail: `${noun}: ${messages}`,
      fix: "Edit [[plugins.file-sync.entries]] in the configuration",
    },
  ];
}
