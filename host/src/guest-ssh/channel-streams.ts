import { Readable, Writable } from "node:stream";
import type { ClientChannel } from "ssh2";
import type { SshConnection } from "./ssh-connection.js";

/** Bytes that leave for the guest in one go; the socket's own buffer is looked at in between. */
const sliceBytes = 64 * 1024;

/** Filters bytes on their way, such as {@link PidLine}. */
export interface ByteFilter {
  pass(chunk: Buffer): Buffer;
  flush(): Buffer;
}

/**
 * An output of a session as a stream of its own. The source is read only as fast as the reader takes; a reader that destroys the
 * stream lets the rest go unread, so the guest's process never hangs on it.
 */
export class OutputStream extends Readable {
  readonly #source: Readable;
  readonly #filter: ByteFilter | undefined;
  #ended = false;

  /** @param taken called with the number of bytes that left the source */
  constructor(
    source: Readable,
    taken: (bytes: number) => void,
    filter?: ByteFilter,
  ) {
    super();
    this.#source = source;
    this.#filter = filter;
    source.on("data", (chunk: Buffer) => {
      taken(chunk.length);
      this.#give(filter ? filter.pass(chunk) : chunk);
    });
    source.on("end", () => this.cut());
    source.on("close", () => this.cut());
    source.on("error", () => undefined);
  }

  override _read(): void {
    this.#source.resume();
  }

  override _destroy(
    error: Error | null,
    callback: (error?: Error | null) => void,
  ): void {
    this.#source.resume();
    callback(error);
  }

  /** Ends the stream after what was read so far; the rest of the source goes unread. Idempotent. */
  cut(): void {
    if (this.#ended) return;
    this.#give(this.#filter?.flush() ?? Buffer.alloc(0));
    this.#ended = true;
    if (!this.destroyed) this.push(null);
    this.#source.resume();
  }

  #give(bytes: Buffer): void {
    if (bytes.length === 0 || this.#ended || this.destroyed) return;
    if (!this.push(bytes)) this.#source.pause();
  }
}

/**
 * The standard input of a session. A write is done when the guest's window took it and the socket's buffer is not full, so neither
 * a slow reader in the guest nor a guest that announces a huge window fills the host's memory. When the session ends, what was
 * not sent is dropped and the stream is destroyed without an error, as a pipe whose reader is gone.
 */
export function inputStream(
  channel: ClientChannel,
  connection: Pick<SshConnection, "whenWritable">,
): Writable {
  let underWay: ((error?: Error) => void) | undefined;
  return new Writable({
    decodeStrings: true,
    write: (chunk: Buffer, _encoding, callback) => {
      let at = 0;
      underWay = callback;
      const next = (): void => {
        if (underWay !== callback) return;
        if (at >= chunk.length) {
          underWay = undefined;
          callback();
          return;
        }
        const slice = chunk.subarray(at, at + sliceBytes);
        at += slice.length;
        // ssh2 never calls back once the session has closed.
        channel.write(slice, () => connection.whenWritable(next));
      };
      next();
    },
    final: (callback) => {
      channel.end();
      callback();
    },
    destroy: (error, callback) => {
      underWay?.(
        Object.assign(new Error("the guest's process takes no more input"), {
          code: "EPIPE",
        }),
      );
      underWay = undefined;
      channel.end();
      callback(error);
    },
  });
}
