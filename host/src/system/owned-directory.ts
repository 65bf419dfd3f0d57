import { chmod, lchown, lstat, mkdir } from "node:fs/promises";
import { hasErrorCode } from "../files/error-code.js";
import { ForeignFileError } from "./system-errors.js";

/** Whose a directory is, and who may do what in it. */
export interface Ownership {
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
}

/** Root's, and everybody may read it. */
export const publicDirectory: Ownership = { uid: 0, gid: 0, mode: 0o755 };

/**
 * Makes a directory in one that only root may write, with exactly this owner and mode. Idempotent.
 * @throws {@link ForeignFileError} when something else is there
 */
export async function ensureOwnedDirectory(
  path: string,
  { uid, gid, mode }: Ownership,
): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    if (!hasErrorCode(error, "EEXIST")) throw error;
    if (!(await lstat(path)).isDirectory())
      throw new ForeignFileError([`${path} is no directory`]);
  }
  await lchown(path, uid, gid);
  // After the owner: chown(2) takes set-id bits away, and until then it is closed.
  await chmod(path, mode);
}
