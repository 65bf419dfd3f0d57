import { open, stat } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type { VmRecord } from "@banger/core";

/** Most that is read back from the end of a console log, bytes. */
const mostTailBytes = 4 * 1024 * 1024;
const pollMs = 200;

export interface ConsoleRequest {
  /** lines from the end to begin with */
  readonly lines: number;
  /** go on with what the guest prints next, until `signal` */
  readonly follow: boolean;
  readonly signal: AbortSignal;
}

/** Reads guests' console logs. The text is the guest's own and hostile: whoever shows it on a terminal must filter it. */
export class ConsoleReader {
  async *read(vm: VmRecord, request: ConsoleRequest): AsyncGenerator<string> {
    const path = `${vm.runtime.directory}/console.log`;
    let offset = await sizeOf(path);
    yield await tail(path, offset, request.lines);
    while (request.follow && !request.signal.aborted) {
      await sleep(pollMs, undefined, { signal: request.signal }).catch(
        () => undefined,
      );
      const size = await sizeOf(path);
      // A start empties a log that has grown large.
      if (size < offset) offset = 0;
      if (size > offset) {
        const from = Math.max(offset, size - mostTailBytes);
        offset = size;
        yield await readRange(path, from, size);
      }
    }
  }
}

async function tail(
  path: string,
  size: number,
  lines: number,
): Promise<string> {
  const text = await readRange(path, Math.max(0, size - mostTailBytes), size);
  const all = text.split("\n");
  // The text ends with a line feed, after which there is an empty piece.
  return all.slice(-lines - 1).join("\n");
}

async function readRange(
  path: string,
  from: number,
  to: number,
): Promise<string> {
  if (to <= from) return "";
  const file = await open(path, "r");
  try {
    const buffer = Buffer.alloc(to - from);
    const { bytesRead } = await file.read(buffer, 0, buffer.length, from);
    return buffer.toString("utf8", 0, bytesRead);
  } finally {
    await file.close();
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return 0;
    throw error;
  }
}
