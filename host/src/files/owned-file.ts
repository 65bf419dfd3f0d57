import type { Stats } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { BangerError } from "@banger/core";
import { openPath } from "./open-path.js";

/** In the place of a file of this install is something else, or somebody else's. */
export class ForeignFileError extends BangerError {
  override readonly code = "ERR_FILE_FOREIGN";
  override readonly kind = "conflict";
  constructor(path: string, problem: string) {
    super(`${path} ${problem}`, {
      hint: `Look who made it, and put back what was there: ls -l ${path}`,
    });
  }
}

/** A regular file of one of these users, or why it is none. Pure. */
export function ownedFileProblem(
  found: Pick<Stats, "isFile" | "isSymbolicLink" | "uid">,
  uids: readonly number[],
): string | undefined {
  if (found.isSymbolicLink()) return "is a symbolic link";
  if (!found.isFile()) return "is no regular file";
  return uids.includes(found.uid)
    ? undefined
    : `belongs to another user (uid ${String(found.uid)})`;
}

/**
 * Looks at a file of these users by a handle that stays with it, whatever happens to the path.
 * @throws {@link ForeignFileError}; the system's own errors
 */
export async function withOwnedFile<T>(
  path: string,
  uids: readonly number[],
  use: (file: FileHandle, stats: Stats) => Promise<T>,
): Promise<T> {
  const file = await openPath(path);
  try {
    const stats = await file.stat();
    const problem = ownedFileProblem(stats, uids);
    if (problem !== undefined) throw new ForeignFileError(path, problem);
    return await use(file, stats);
  } finally {
    await file.close();
  }
}
