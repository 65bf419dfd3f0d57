import { open, rename, rm } from "node:fs/promises";
import { orDiskFull } from "../files/disk-full.js";
import { hasFile } from "./root-disk-files.js";

/** Name of a file while it is made. */
export function unfinishedFile(path: string): string {
  return `${path}.new`;
}

/**
 * Makes a file that appears under its name only when it is whole; one that is there stays as it is. What an interrupted attempt left, at
 * `<path>.new`, is replaced, and a failed one leaves nothing.
 * @param what what is being done, for the error of a full disk
 * @param make writes the file whose path it gets
 * @throws DiskFullError
 */
export async function ensureFile(
  path: string,
  what: string,
  make: (half: string) => Promise<void>,
): Promise<void> {
  if (await hasFile(path)) return;
  const half = unfinishedFile(path);
  await rm(half, { force: true });
  try {
    await orDiskFull(what, () => make(half));
    await rename(half, path);
  } catch (error) {
    await rm(half, { force: true });
    throw error;
  }
}

/** Makes what was written to a file durable: a name that reaches the disk before its data would be a disk of zeroes after a power cut. */
export async function syncData(path: string): Promise<void> {
  const file = await open(path, "r+");
  try {
    await file.datasync();
  } finally {
    await file.close();
  }
}
