import { open, stat } from "node:fs/promises";
import { join } from "node:path";
import { StringDecoder } from "node:string_decoder";
import { setTimeout as sleep } from "node:timers/promises";
import type { VmRecord } from "@banger/core";
import { hasErrorCode } from "./error-code.js";
import { vmFileNames } from "./vm-files.js";

/** Most that is read back from the end of a console log, bytes. */
const mostTailBytes = 4 * 1024 * 1024;
const pollMs = 200;

export interface ConsoleRequest {
  /** lines from the end to begin with */
  readonly lines: number;
  /** go on with what the guest prints next, until `signal` or the VM's deletion */
  readonly follow: boolean;
  readonly signal: AbortSignal;
}

/** Reads guests' console logs. The text is the guest's own and hostile: whoever shows it on a terminal must filter it. */
export class ConsoleReader {
  async *read(vm: VmRecord, request: ConsoleRequest): AsyncGenerator<string> {
    const path = join(vm.runtime.directory, vmFileNames.consoleLog);
    // A read may end in the middle of a character.
    let decoder = new StringDecoder("utf8");
    let offset = (await sizeOf(path)) ?? 0;
    const from = Math.max(0, offset - mostTailBytes);
    yield lastLines(
      decoder.write(await readRange(path, from, offset)),
      request.lines,
      from > 0,
    );
    while (request.follow && !request.signal.aborted) {
      await sleep(pollMs, undefined, { signal: request.signal }).catch(
        () => undefined,
      );
      const size = (await sizeOf(path)) ?? 0;
      if (size === 0 && (await sizeOf(vm.runtime.directory)) === undefined)
        return;
      // A start empties a log that has grown large.
      if (size < offset) [offset, decoder] = [0, new StringDecoder("utf8")];
      if (size > offset) {
        const begin = Math.max(offset, size - mostTailBytes);
        offset = size;
        yield decoder.write(await readRange(path, begin, size));
      }
    }
  }
}

/** @param isCut the text begins in the middle of something */
function lastLines(text: string, lines: number, isCut: boolean): string {
  const firstEnd = text.indexOf("\n");
  const whole = isCut && firstEnd >= 0 ? text.slice(firstEnd + 1) : text;
  const pieces = whole.split("\n");
  // After a closing line feed there is an empty piece, which is no line.
  const last = pieces.at(-1) === "" ? lines + 1 : lines;
  return pieces.slice(-last).join("\n");
}

async function readRange(
  path: string,
  from: number,
  to: number,
): Promise<Buffer> {
  const buffer = Buffer.alloc(Math.max(0, to - from));
  if (buffer.length === 0) return buffer;
  try {
    const file = await open(path, "r");
    try {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, from);
      return buffer.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (error) {
    // The VM was deleted between two looks.
    if (hasErrorCode(error, "ENOENT")) return Buffer.alloc(0);
    throw error;
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (hasErrorCode(error, "ENOENT")) return undefined;
    throw error;
  }
}
