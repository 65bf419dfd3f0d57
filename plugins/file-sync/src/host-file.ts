import { constants, type Stats } from "node:fs";
import { lstat, open, readdir, stat, type FileHandle } from "node:fs/promises";
import { FileSyncUnreadableError } from "./file-sync-errors.js";

/** What a configured path is on the host. */
export type HostKind = "file" | "directory" | "missing" | "link" | "special";

/** Does the path not exist (any more), or lead through something that is no directory? */
function isGone(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "ENOENT" || code === "ENOTDIR";
}

async function readable<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (isGone(error)) throw error;
    throw new FileSyncUnreadableError(path, error);
  }
}

function kindOf(stats: Stats): HostKind {
  if (stats.isFile()) return "file";
  if (stats.isDirectory()) return "directory";
  return stats.isSymbolicLink() ? "link" : "special";
}

/**
 * Looks at a configured path. A symbolic link to a file counts as that file, as dotfiles often are links; one to a directory or to
 * nothing stays a link.
 * @throws FileSyncUnreadableError
 */
export async function inspectConfigured(path: string): Promise<HostKind> {
  try {
    return await readable(path, async () => {
      const kind = kindOf(await lstat(path));
      if (kind !== "link") return kind;
      const target = kindOf(await stat(path));
      return target === "file" ? "file" : "link";
    });
  } catch (error) {
    if (isGone(error)) return "missing";
    throw error;
  }
}

/** Looks at a path inside a synced directory, without following it; `missing` when it went away meanwhile. */
export async function inspectInside(
  path: string,
): Promise<{ readonly kind: HostKind; readonly mode: number }> {
  try {
    return await readable(path, async () => {
      const stats = await lstat(path);
      return { kind: kindOf(stats), mode: stats.mode & 0o777 };
    });
  } catch (error) {
    if (isGone(error)) return { kind: "missing", mode: 0 };
    throw error;
  }
}

/** Names in a directory, sorted, so that the same tree gives the same archive. @throws FileSyncUnreadableError */
export async function listDirectory(path: string): Promise<readonly string[]> {
  return (await readable(path, () => readdir(path))).sort();
}

/**
 * Reads a regular file; the answer of an earlier look may be out of date, so kind and size are asked of the open file.
 * @param follow may the last component be a symbolic link?
 * @returns `undefined` when it is no regular file any more, `"too-large"` above `mostBytes`
 * @throws FileSyncUnreadableError
 */
export async function readHostFile(
  path: string,
  follow: boolean,
  mostBytes: number,
): Promise<
  | { readonly content: Uint8Array; readonly mode: number }
  | "too-large"
  | undefined
> {
  const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;
  const flags = O_RDONLY | O_NONBLOCK | (follow ? 0 : O_NOFOLLOW);
  let file: FileHandle;
  try {
    file = await open(path, flags);
  } catch (error) {
    // ELOOP: it has become a link. ENXIO: a socket.
    const { code } = error as NodeJS.ErrnoException;
    if (isGone(error) || code === "ELOOP" || code === "ENXIO") return undefined;
    throw new FileSyncUnreadableError(path, error);
  }
  try {
    const stats = await file.stat();
    if (!stats.isFile()) return undefined;
    if (stats.size > mostBytes) return "too-large";
    const content = await readable(path, () => readAtMost(file, mostBytes + 1));
    if (content.byteLength > mostBytes) return "too-large";
    return { content, mode: stats.mode & 0o777 };
  } finally {
    await file.close();
  }
}

/** A file that grows while it is read, or one of /proc that has no size, ends at the limit too. */
async function readAtMost(
  file: FileHandle,
  mostBytes: number,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for (let total = 0; total < mostBytes;) {
    const chunk = Buffer.alloc(Math.min(64 * 1024, mostBytes - total));
    const { bytesRead } = await file.read(chunk, 0, chunk.byteLength, null);
    if (bytesRead === 0) break;
    chunks.push(chunk.subarray(0, bytesRead));
    total += bytesRead;
  }
  return Buffer.concat(chunks);
}
