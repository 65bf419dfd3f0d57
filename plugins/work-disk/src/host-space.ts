import { statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { formatSize, type Finding } from "@banger/core";

const least = 64 * 2 ** 20;
const comfortable = 2 ** 30;

/** Free space for this user where a path is or will be, bytes. */
export async function freeBytes(path: string): Promise<number> {
  try {
    const { bavail, bsize } = await statfs(path);
    return bavail * bsize;
  } catch (error) {
    const parent = dirname(path);
    // A VM that has never been started has no directory yet.
    if ((error as NodeJS.ErrnoException).code !== "ENOENT" || parent === path)
      throw error;
    return freeBytes(parent);
  }
}

/** Pure. */
export function spaceFindings(
  free: number,
  directory: string,
): readonly Finding[] {
  if (free >= comfortable) return [];
  const tooLittle = free < least;
  return [
    {
      id: "work-disk.space",
      severity: tooLittle ? "error" : "warning",
      message: tooLittle
        ? `${formatSize(free)} are free at ${directory}; a disk needs ${formatSize(least)}`
        : `only ${formatSize(free)} are free at ${directory}; a guest that fills its disk will see errors`,
      fix: "Remove what is not needed: see banger vm list -a and banger image list",
    },
  ];
}
