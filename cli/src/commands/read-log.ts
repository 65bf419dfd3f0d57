import { open, stat } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

/** Most that is read back from the end, and at once, bytes. */
const mostBytes = 8 * 1024 * 1024;
const pollMs = 200;

/**
 * The last lines of a file, then, when following, what is appended. A file that is not there counts as empty; one that was replaced
 * by a new one is read from its start.
 * @throws the signal's reason
 */
export async function* readLog(
  file: string,
  options: {
    readonly lines: number;
    readonly follow: boolean;
    readonly signal: AbortSignal;
  },
): AsyncGenerator<Buffer> {
  const { lines, follow, signal } = options;
  let { size: offset, inode } = await look(file);
  const end = await readRange(file, Math.max(0, offset - mostBytes), offset);
  const last = lastLines(end, lines);
  if (last.length > 0) yield last;
  while (follow) {
    signal.throwIfAborted();
    await sleep(pollMs, undefined, { signal }).catch(() => undefined);
    const now = await look(file);
    if (now.inode !== inode || now.size < offset) offset = 0;
    inode = now.inode;
    while (offset < now.size) {
      const bytes = await readRange(
        file,
        offset,
        Math.min(now.size, offset + mostBytes),
      );
      if (bytes.length === 0) break;
      offset += bytes.length;
      yield bytes;
    }
  }
}

/** The text ends with a line feed. */
function lastLines(bytes: Buffer, count: number): Buffer {
  let from = bytes.length - 1;
  for (let found = 0; found < count && from >= 0; found++)
    from = from === 0 ? -1 : bytes.lastIndexOf(0x0a, from - 1);
  return bytes.subarray(from + 1);
}

async function look(file: string): Promise<{ size: number; inode: number }> {
  try {
    const { size, ino } = await stat(file);
    return { size, inode: ino };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT")
      return { size: 0, inode: 0 };
    throw error;
  }
}

async function readRange(
  file: string,
  from: number,
  to: number,
): Promise<Buffer> {
  if (to <= from) return Buffer.alloc(0);
  const handle = await open(file, "r");
  try {
    const buffer = Buffer.alloc(to - from);
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, from);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}
