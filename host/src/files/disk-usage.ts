import { lstat, opendir } from "node:fs/promises";
import { join } from "node:path";
import { hasErrorCode } from "./error-code.js";

/** stat(2) counts blocks of this size, bytes, whatever the file system's own is. */
const blockBytes = 512;

/** A VM's directory has some ten files; whoever put more there does not keep the daemon busy. */
const mostEntries = 10_000;

/**
 * Space that a directory with everything below it takes, bytes: holes of sparse files do not count, a file with several names counts
 * once, and symbolic links are not followed. 0 when there is none. What is there beyond 10,000 entries is left out.
 */
export async function diskUsage(directory: string): Promise<number> {
  const seen = new Set<string>();
  const pending = [directory];
  let bytes = 0;
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    const found = await unlessGone(lstat(path));
    if (!found) continue;
    const file = `${String(found.dev)} ${String(found.ino)}`;
    if (seen.has(file)) continue;
    seen.add(file);
    bytes += found.blocks * blockBytes;
    if (!found.isDirectory()) continue;
    for await (const { name } of (await unlessGone(opendir(path))) ?? []) {
      if (seen.size + pending.length >= mostEntries) break;
      pending.push(join(path, name));
    }
  }
  return bytes;
}

/** Files come and go while they are counted. */
async function unlessGone<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (hasErrorCode(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}
