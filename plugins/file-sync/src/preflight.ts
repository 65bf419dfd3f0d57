import { constants } from "node:fs";
import { access } from "node:fs/promises";
import type { Finding } from "@banger/core";
import type { FileSyncEntry } from "./config.js";
import { FileSyncUnreadableError } from "./file-sync-errors.js";
import { expandHostPath } from "./guest-path.js";
import { inspectConfigured } from "./host-file.js";
import { leftOut } from "./sync-plan.js";

/** Why a configured path cannot be synced. */
export interface EntryProblem {
  readonly index: number;
  readonly unreadable: boolean;
  readonly message: string;
}

/** Looks at every configured path, not at what is inside directories. Reads only. */
export async function entryProblems(
  entries: readonly FileSyncEntry[],
  homeDirectory: string,
): Promise<readonly EntryProblem[]> {
  const looks = entries.map(async ({ host }, index) => {
    try {
      const path = expandHostPath(host, homeDirectory);
      const kind = await inspectConfigured(path);
      if (kind !== "file" && kind !== "directory")
        return { index, unreadable: false, message: leftOut(host, kind) };
      const wanted =
        kind === "file" ? constants.R_OK : constants.R_OK | constants.X_OK;
      await access(path, wanted).catch((error: unknown) => {
        throw new FileSyncUnreadableError(path, error);
      });
      return undefined;
    } catch (error) {
      if (!(error instanceof FileSyncUnreadableError)) throw error;
      return { index, unreadable: true, message: error.message };
    }
  });
  return (await Promise.all(looks)).filter((problem) => problem !== undefined);
}

/** Pure. */
export function entryFindings(
  problems: readonly EntryProblem[],
): readonly Finding[] {
  return problems.map(({ index, unreadable, message }) => ({
    id: `file-sync.entries[${String(index)}]`,
    severity: unreadable ? "error" : "warning",
    message,
    fix: `Look at [[plugins.file-sync.entries]] number ${String(index + 1)} in the configuration`,
  }));
}
