import { lstat, realpath } from "node:fs/promises";
import { dirname } from "node:path";

/**
 * Who else but root could change what a path leads to? Links are followed first.
 * @returns the first part of the real path that is not root's or that others may write; `undefined` when there is none
 */
export async function untrustedPart(path: string): Promise<string | undefined> {
  const parts: string[] = [];
  for (let part = await realpath(path); ; part = dirname(part)) {
    parts.unshift(part);
    if (part === dirname(part)) break;
  }
  for (const part of parts) {
    const { uid, mode } = await lstat(part);
    if (uid !== 0 || (mode & 0o022) !== 0) return part;
  }
  return undefined;
}
