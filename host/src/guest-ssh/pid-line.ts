/** More than the token, a space, ten digits and a line end. */
const maxLineBytes = 64;

/**
 * Takes the line with the process id out of a stream, wherever it comes: a start-up file of the shell may have written before it.
 * What is held back until then is bounded.
 */
export class PidLine {
  readonly #token: Buffer;
  readonly #found: (pid: number) => void;
  #held: Buffer | undefined = Buffer.alloc(0);

  /** @param found called once, before {@link pass} returns what follows the line */
  constructor(token: string, found: (pid: number) => void) {
    this.#token = Buffer.from(`${token} `);
    this.#found = found;
  }

  /** The bytes of `chunk` and of earlier ones that belong to the program. */
  pass(chunk: Buffer): Buffer {
    if (!this.#held) return chunk;
    const text = Buffer.concat([this.#held, chunk]);
    const start = text.indexOf(this.#token);
    const end = start < 0 ? -1 : text.indexOf(0x0a, start);
    if (end < 0) {
      // Without a line end in time it is no line of ours.
      if (start >= 0 && text.length - start > maxLineBytes) {
        this.#held = undefined;
        return text;
      }
      const keptFrom =
        start >= 0 ? start : Math.max(0, text.length - this.#token.length + 1);
      this.#held = text.subarray(keptFrom);
      return text.subarray(0, keptFrom);
    }
    const digits = text
      .subarray(start + this.#token.length, end)
      .toString("latin1")
      .trimEnd();
    this.#held = undefined;
    const pid = Number(digits);
    // Never 0, 1 or a negative number: kill(2) gives those another meaning.
    if (/^[0-9]{1,10}$/.test(digits) && pid > 1) this.#found(pid);
    return Buffer.concat([text.subarray(0, start), text.subarray(end + 1)]);
  }

  /** What was held back when the stream ended. */
  flush(): Buffer {
    const rest = this.#held ?? Buffer.alloc(0);
    this.#held = undefined;
    return rest;
  }
}
