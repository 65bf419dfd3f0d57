import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** Entries of a directory; none when it is none, or has just gone. */
export function names(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    if (["ENOENT", "ENOTDIR", "ESRCH", "EACCES"].includes(code)) return [];
    throw error;
  }
}

/** Where a symbolic link leads; `undefined` when there is none, or it has just gone. */
export function link(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    if (["ENOENT", "ESRCH", "EACCES"].includes(code)) return undefined;
    throw error;
  }
}

/** Text of a file; `undefined` when there is none, or it has just gone. */
export function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    if (["ENOENT", "ESRCH", "EACCES", "ENXIO"].includes(code)) return undefined;
    throw error;
  }
}
