import { chmod, lstat, mkdir, stat } from "node:fs/promises";
import { BangerError } from "@banger/core";
import type { Paths } from "../paths.js";
import { orPathUnusable } from "./path-unusable.js";

/** A directory that others could change or read, where only its owner may. */
export class UnsafeDirectoryError extends BangerError {
  override readonly code = "ERR_DIRECTORY_UNSAFE";
  constructor(directory: string, problem: string, hint: string) {
    super(`${directory} ${problem}`, { hint });
  }
}

/**
 * Makes every directory of the layout, mode 0700. Idempotent. State and cache may be symbolic links of the owner's own making and
 * are tightened when others can read them; a run directory is refused unless it is a real directory, the user's, and 0700: it may
 * sit in `/tmp`, where anyone can put something in its place first.
 * @throws {@link UnsafeDirectoryError}
 * @throws PathUnusableError when something else is in the place of one, or it cannot be made
 */
export async function ensureDirectories(paths: Paths): Promise<void> {
  // Dotfile tools link and share this one: made when absent, otherwise the owner's affair.
  await makeDirectory(paths.configDirectory);
  for (const directory of [
    paths.stateDirectory,
    paths.vmsDirectory,
    paths.imagesDirectory,
    paths.kernelsDirectory,
    paths.sshDirectory,
    paths.cacheDirectory,
    paths.ociCacheDirectory,
    paths.downloadsDirectory,
  ]) {
    await ensureOwnDirectory(directory);
  }
  await ensureRunDirectory(paths);
}

/**
 * Makes the run directory again, which a reboot or a cleaner of `/tmp` may have removed. Idempotent.
 * @throws {@link UnsafeDirectoryError}, PathUnusableError
 */
export async function ensureRunDirectory(paths: Paths): Promise<void> {
  for (const directory of paths.runParents) {
    await makeDirectory(directory);
    await checkRunDirectory(directory);
  }
}

/** Makes a directory, mode 0700, and its parents. Idempotent. @throws PathUnusableError */
export async function makeDirectory(directory: string): Promise<void> {
  await orPathUnusable(directory, () =>
    mkdir(directory, { recursive: true, mode: 0o700 }),
  );
}

async function ensureOwnDirectory(directory: string): Promise<void> {
  await makeDirectory(directory);
  const found = await stat(directory);
  if (found.uid !== ownUid()) throw foreign(directory, found.uid);
  if ((found.mode & 0o077) !== 0) await chmod(directory, 0o700);
}

async function checkRunDirectory(directory: string): Promise<void> {
  const found = await lstat(directory);
  if (!found.isDirectory()) {
    throw new UnsafeDirectoryError(
      directory,
      "is not a directory of its own, but a link or a file",
      `Look who made it, and remove it: ls -ld ${directory}`,
    );
  }
  if (found.uid !== ownUid()) throw foreign(directory, found.uid);
  if ((found.mode & 0o777) !== 0o700) {
    throw new UnsafeDirectoryError(
      directory,
      `is open to others (mode ${(found.mode & 0o777).toString(8)})`,
      `Close it, if nobody put anything into it: chmod 700 ${directory}`,
    );
  }
}

function foreign(directory: string, uid: number): UnsafeDirectoryError {
  return new UnsafeDirectoryError(
    directory,
    `belongs to another user (uid ${uid.toString()})`,
    "Run banger as that user, or set BANGER_HOME to a directory of your own",
  );
}

function ownUid(): number {
  return process.getuid?.() ?? 0;
}
