/** Most bytes of a query over TCP. The longest that makes sense, a full name and padded EDNS, has less than a kilobyte. */
export const mostMessageBytes = 4096;

/** Cuts a TCP stream into messages: each has its length before it, two bytes (RFC 1035 §4.2.2). */
export class TcpFrames {
  readonly #mostBytes: number;
  #bytes: Buffer = Buffer.alloc(0);

  /** @param mostBytes most bytes of a message */
  constructor(mostBytes: number = mostMessageBytes) {
    this.#mostBytes = mostBytes;
  }

  push(chunk: Buffer): void {
    this.#bytes =
      this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
  }

  /**
   * Takes the next complete message.
   * @returns `undefined` while it is incomplete, `"too-long"` when its length is beyond what was said
   */
  take(): Buffer | "too-long" | undefined {
    if (this.#bytes.length < 2) return undefined;
    const end = 2 + this.#bytes.readUInt16BE(0);
    if (end - 2 > this.#mostBytes) return "too-long";
    if (this.#bytes.length < end) return undefined;
    const message = this.#bytes.subarray(2, end);
    this.#bytes = this.#bytes.subarray(end);
    return message;
  }
}

/** The reply with its length before it. */
export function frame(reply: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(reply.length);
  return Buffer.concat([length, reply]);
}
