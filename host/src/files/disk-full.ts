import { statfs } from "node:fs/promises";
import { BangerError, CommandFailedError, formatSize } from "@banger/core";
import { hasErrorCode } from "./error-code.js";

/** A file system of the host is full, or this user's quota on it. */
export class DiskFullError extends BangerError {
  override readonly code = "ERR_DISK_FULL";
  override readonly kind = "unavailable";
  constructor(what: string, cause?: unknown) {
    super(`${what}: there is no space left on the host's disk`, {
      hint: "Free space on the host, then try again: `banger doctor` shows where",
      cause,
    });
  }
}

/** Does a line of a program say that a file system is full? Pure. */
export function saysDiskFull(line: string): boolean {
  return (
    /No space left on device|Disk quota exceeded|don't have enough free space/.test(
      line,
    ) &&
    // The kernel's answer when there are too many user namespaces.
    !line.startsWith("unshare: unshare failed")
  );
}

/**
 * The error to throw instead: {@link DiskFullError} when the system, SQLite or a program says that a disk is full, else the same.
 * @param what what was being done, such as "writing a VM's record"
 */
export function asDiskFull(what: string, error: unknown): unknown {
  const isFull =
    hasErrorCode(error, "ENOSPC", "EDQUOT", "SQLITE_FULL") ||
    (error instanceof CommandFailedError &&
      error.stderrTail.split("\n").some(saysDiskFull));
  return isFull ? new DiskFullError(what, error) : error;
}

/** Runs what writes. @throws {@link DiskFullError} instead of what says so in other words */
export async function orDiskFull<T>(
  what: string,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw asDiskFull(what, error);
  }
}

/** Bytes that this user may still write to the file system of a path. */
export async function freeBytesAt(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize;
}

/**
 * Refuses work that would fill a disk, before it begins.
 * @throws {@link DiskFullError}
 */
export async function requireFreeBytes(
  what: string,
  path: string,
  neededBytes: number,
  freeBytes: (path: string) => Promise<number> = freeBytesAt,
): Promise<void> {
  const free = await freeBytes(path);
  if (free >= neededBytes) return;
  throw new DiskFullError(
    `${what} needs ${formatSize(neededBytes)} at ${path}, and ${formatSize(free)} are free`,
  );
}
