import { constants } from "node:fs";
import { chmod, copyFile, mkdir, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { throwIfCancelled, type Image, type VmRecord } from "@banger/core";
import { hasErrorCode } from "../files/error-code.js";
import { ensureFile, syncData } from "./new-file.js";
import { RootDiskUnavailableError } from "./root-disk-errors.js";
import { rootDiskFile } from "./root-disk-files.js";

/** Makes a second file that shares the first one's blocks; rejects with the system's error where that cannot be. */
export type CloneFile = (from: string, to: string) => Promise<void>;

/** @see FICLONE in ioctl_ficlone(2) */
export const cloneFile: CloneFile = (from, to) =>
  copyFile(from, to, constants.COPYFILE_FICLONE_FORCE);

/** What the system says of a file system that shares no blocks, or not between these two: ioctl_ficlone(2), copy_file_range(2). */
const refusals = [
  "EOPNOTSUPP",
  "ENOTSUP",
  "ENOTTY",
  "ENOSYS",
  "EINVAL",
  "EXDEV",
];

export const reflinkObstacle = {
  reason: "the file system of banger's state shares no blocks between files",
  fix: "Keep banger's state on btrfs, or on XFS made with reflink=1: set BANGER_HOME or XDG_STATE_HOME to a directory there",
};

/** Makes the root disk as a file that shares the image's blocks until either is written. Idempotent. */
export async function ensureReflink(
  clone: CloneFile,
  vm: VmRecord,
  image: Image,
  signal: AbortSignal,
): Promise<void> {
  const what = `making the root disk of ${vm.name}`;
  throwIfCancelled(signal, what);
  await ensureFile(rootDiskFile(vm, "reflink"), what, async (half) => {
    try {
      await clone(image.files.rootfs, half);
    } catch (error) {
      if (!hasErrorCode(error, ...refusals)) throw error;
      throw new RootDiskUnavailableError(vm, "reflink", reflinkObstacle, error);
    }
    // The copy has the mode of the image, which may be readable by others and writable by nobody.
    await chmod(half, 0o600);
    await syncData(half);
  });
}

/** More than a file system keeps beside its metadata (btrfs: inline extents of up to 2 KiB), so that real blocks are shared. */
const probeBytes = 64 * 1024;

/** Where a directory's file system is tried; a killed process may leave it. */
export function reflinkScratch(directory: string): string {
  return join(directory, ".reflink-probe");
}

/**
 * Can a file in this directory share blocks with the image? Tried with a tiny file, or with the image itself when that is on another file
 * system; nothing stays. One at a time in a directory.
 */
export async function canReflink(
  clone: CloneFile,
  directory: string,
  image: string | undefined,
): Promise<boolean> {
  const scratch = reflinkScratch(directory);
  await rm(scratch, { recursive: true, force: true });
  try {
    await mkdir(scratch, { mode: 0o700 });
    let source = image;
    if (image === undefined || (await sameFileSystem(image, directory))) {
      source = join(scratch, "original");
      await writeFile(source, Buffer.alloc(probeBytes, 1));
    }
    await clone(source ?? scratch, join(scratch, "clone"));
    return true;
  } catch (error) {
    if (hasErrorCode(error, ...refusals)) return false;
    throw error;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function sameFileSystem(one: string, other: string): Promise<boolean> {
  const [a, b] = await Promise.all([stat(one), stat(other)]);
  return a.dev === b.dev;
}
