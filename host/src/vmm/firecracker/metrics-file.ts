import { constants } from "node:fs";
import { open, readFile, type FileHandle } from "node:fs/promises";
import { z } from "zod";
import { hasErrorCode } from "../../files/error-code.js";
import { parseJson } from "../../files/parse-json.js";
import { writeAtomically } from "../../files/write-atomically.js";
import type { ProcessIdentity } from "../process-identity.js";
import { addIo, noIo, parseMetricsLine, type IoTotals } from "./metrics.js";

/** How much is read at once, bytes. */
const pieceBytes = 64 * 1024;

/** Longest line; a machine with twenty devices writes some 20,000 bytes. */
const mostLineBytes = 256 * 1024;

/** Most that one look reads; what is left is for the next one. Above 16 MiB the log limiter empties the file. */
const mostBytesPerLook = 64 * 1024 * 1024;

/** After how much more of the file the sums are written down, bytes. */
const noteAfterBytes = 1024 * 1024;

const bytes = z.int().min(0);
const noteSchema = z.object({
  pid: z.int(),
  pidStartTicks: z.int(),
  offset: bytes,
  totals: z.object({
    diskReadBytes: bytes,
    diskWrittenBytes: bytes,
    networkReceivedBytes: bytes,
    networkSentBytes: bytes,
  }),
});

/**
 * Sums up the metrics that one Firecracker process writes. What they add up to is noted from time to time, so that it survives this
 * process and the emptying of the file. The file is not trusted.
 */
export class MetricsFile {
  readonly #path: string;
  readonly #notePath: string;
  readonly #writer: ProcessIdentity;
  #totals: IoTotals = noIo;
  /** up to which the file is summed up, at a line's start */
  #offset = 0;
  #notedOffset = 0;
  /** is the line at the offset one that is too long? */
  #skipping = false;
  #loaded = false;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: {
    path: string;
    notePath: string;
    /** whose metrics they are: a note of another process counts for nothing */
    writer: ProcessIdentity;
  }) {
    this.#path = options.path;
    this.#notePath = options.notePath;
    this.#writer = options.writer;
  }

  /** Everything up to the last complete line. One look after the other. @throws the system's own errors */
  read(): Promise<IoTotals> {
    const next = this.#last.then(() => this.#read());
    this.#last = next.catch(() => undefined);
    return next;
  }

  async #read(): Promise<IoTotals> {
    if (!this.#loaded) await this.#load();
    this.#loaded = true;
    const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
    const file = await open(this.#path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    try {
      const { size } = await file.stat();
      // It was emptied, and its writer appends.
      if (size < this.#offset) this.#goTo(0);
      const end = Math.min(size, this.#offset + mostBytesPerLook);
      await this.#readTo(file, end);
    } finally {
      await file.close();
    }
    if (this.#offset - this.#notedOffset >= noteAfterBytes) await this.#note();
    return this.#totals;
  }

  async #readTo(file: FileHandle, end: number): Promise<void> {
    let pending: Buffer = Buffer.alloc(0);
    for (let at = this.#offset; at < end;) {
      const buffer = Buffer.alloc(Math.min(pieceBytes, end - at));
      const { bytesRead } = await file.read({ buffer, position: at });
      if (bytesRead === 0) return;
      at += bytesRead;
      pending = withoutHole(
        Buffer.concat([pending, buffer.subarray(0, bytesRead)]),
      );
      for (
        let length = pending.indexOf("\n");
        length >= 0;
        length = pending.indexOf("\n")
      ) {
        this.#take(pending.toString("utf8", 0, length));
        pending = pending.subarray(length + 1);
      }
      this.#offset = at - pending.length;
      if (pending.length > mostLineBytes) {
        pending = Buffer.alloc(0);
        this.#offset = at;
        this.#skipping = true;
      }
    }
  }

  #take(line: string): void {
    const io = this.#skipping ? undefined : parseMetricsLine(line);
    this.#skipping = false;
    if (io) this.#totals = addIo(this.#totals, io);
  }

  #goTo(offset: number): void {
    this.#offset = offset;
    this.#notedOffset = offset;
    this.#skipping = false;
  }

  async #load(): Promise<void> {
    const text = await readFile(this.#notePath, "utf8").catch(
      (error: unknown) => {
        if (hasErrorCode(error, "ENOENT")) return "";
        throw error;
      },
    );
    const { data } = noteSchema.safeParse(parseJson(text));
    const { pid, pidStartTicks } = this.#writer;
    if (data?.pid !== pid || data.pidStartTicks !== pidStartTicks) return;
    this.#totals = data.totals;
    this.#goTo(data.offset);
  }

  async #note(): Promise<void> {
    const { pid, pidStartTicks } = this.#writer;
    const note: z.output<typeof noteSchema> = {
      pid,
      pidStartTicks,
      offset: this.#offset,
      totals: this.#totals,
    };
    await writeAtomically(this.#notePath, JSON.stringify(note));
    this.#notedOffset = this.#offset;
  }
}

/** An emptied file of a writer that does not append begins with a hole, which may be long and is no line. */
function withoutHole(pending: Buffer): Buffer {
  return pending.every((byte) => byte === 0) ? Buffer.alloc(0) : pending;
}
