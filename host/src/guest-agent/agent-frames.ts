import { AgentProtocolError } from "./agent-errors.js";

/** A line from the agent, without its newline. */
export interface AgentFrame {
  /** it followed a 0xFF byte, as only the answer to `guest-sync-delimited` does */
  readonly delimited: boolean;
  readonly line: Buffer;
}

/** Never part of UTF-8, so it separates what came before from what comes after. */
const delimiter = 0xff;
const newline = 0x0a;

/**
 * Cuts the agent's bytes into lines and keeps at most one line of bounded length. It begins out of step: everything up to the first
 * delimiter is skipped.
 */
export class AgentFrames {
  readonly #maxLineBytes: number;
  #mode: "skip" | "line" | "delimited" = "skip";
  #parts: Buffer[] = [];
  #length = 0;

  constructor(maxLineBytes: number) {
    this.#maxLineBytes = maxLineBytes;
  }

  /** Bytes held for a line that has not ended. */
  get heldBytes(): number {
    return this.#length;
  }

  /** Forgets the current line and skips everything up to the next delimiter. */
  resync(): void {
    this.#mode = "skip";
    this.#drop();
  }

  /**
   * Takes bytes as they come and gives the lines that they complete.
   * @throws {@link AgentProtocolError} for a line that is too long; the reader is out of step then and goes on with the next call
   */
  *push(chunk: Buffer): Generator<AgentFrame, void, undefined> {
    let at = 0;
    while (at < chunk.length) {
      if (this.#mode === "skip") {
        const start = chunk.indexOf(delimiter, at);
        if (start < 0) return;
        this.#mode = "delimited";
        at = start + 1;
        continue;
      }
      const end = chunk.indexOf(newline, at);
      const piece = chunk.subarray(at, end < 0 ? chunk.length : end);
      const restart = piece.lastIndexOf(delimiter);
      if (restart >= 0) {
        // Whatever was before the delimiter was cut off by it.
        this.#drop();
        this.#mode = "delimited";
        at += restart + 1;
        continue;
      }
      this.#keep(piece);
      if (end < 0) return;
      at = end + 1;
      const frame: AgentFrame = {
        delimited: this.#mode === "delimited",
        line: Buffer.concat(this.#parts),
      };
      this.#drop();
      this.#mode = "line";
      yield frame;
    }
  }

  #keep(piece: Buffer): void {
    if (this.#length + piece.length > this.#maxLineBytes) {
      this.resync();
      throw new AgentProtocolError(
        `a reply is longer than ${this.#maxLineBytes} bytes`,
      );
    }
    if (piece.length === 0) return;
    // A copy: a few bytes must not keep the whole chunk alive. Many tiny pieces are joined, or their overhead would be the memory.
    this.#parts.push(Buffer.from(piece));
    if (this.#parts.length > 64) this.#parts = [Buffer.concat(this.#parts)];
    this.#length += piece.length;
  }

  #drop(): void {
    this.#parts = [];
    this.#length = 0;
  }
}
