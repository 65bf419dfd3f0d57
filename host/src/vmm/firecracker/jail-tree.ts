import { constants } from "node:fs";
import {
  chmod,
  chown,
  readdir,
  rmdir,
  unlink,
  type FileHandle,
} from "node:fs/promises";
import { hasErrorCode } from "../../files/error-code.js";
import { descriptorPath, openPath } from "../../files/open-path.js";

/** Deeper than anything that we or a VMM make in a jail. */
const deepest = 64;

/**
 * Removes a directory with everything in it. Idempotent. What is in it may be changed by its owner meanwhile: every step goes from a
 * directory that is held open, so no link is followed and nothing outside is reached. A block device's node loses its permissions first:
 * other links to it, which its owner may have made, would open whatever device gets these numbers next.
 * @throws Error for a tree that is too deep to be ours
 */
export async function removeTree(path: string): Promise<void> {
  await removeEntry(Buffer.from(path), 0);
}

async function removeEntry(path: Buffer, depth: number): Promise<void> {
  const entry = await openPath(path).catch((error: unknown) => {
    if (hasErrorCode(error, "ENOENT")) return undefined;
    throw error;
  });
  if (!entry) return;
  try {
    const found = await entry.stat();
    if (found.isBlockDevice()) await close(entry, 0);
    if (!found.isDirectory()) {
      await unlink(path);
      return;
    }
    if (depth > deepest)
      throw new Error(`${path.toString()} is deeper than anything of ours`);
    // Whoever it belonged to makes nothing more in it.
    await close(entry, constants.S_IRWXU);
    // As bytes: a name need not be text.
    for (const name of await readdir(descriptorPath(entry), {
      encoding: "buffer",
    }))
      await removeEntry(
        Buffer.concat([Buffer.from(`${descriptorPath(entry)}/`), name]),
        depth + 1,
      );
    await rmdir(path);
  } finally {
    await entry.close();
  }
}

/** Takes it from everybody else, by what it is and not by its name. */
async function close(entry: FileHandle, mode: number): Promise<void> {
  const path = descriptorPath(entry);
  await chown(path, process.getuid?.() ?? 0, process.getgid?.() ?? 0);
  await chmod(path, mode);
}
