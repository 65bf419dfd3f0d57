import { StringDecoder } from "node:string_decoder";

/** Longest line handed on, characters; the rest of a longer one is dropped. */
const lineLimit = 4096;

/** Cuts a stream of bytes into lines. Carriage returns end a line too (progress bars); empty lines are left out. */
export class LineSplitter {
  readonly #onLine: (line: string) => void;
  readonly #decoder = new StringDecoder("utf8");
  #rest = "";

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine;
  }

  write(chunk: Buffer): void {
    this.#take(this.#decoder.write(chunk));
  }

  /** Hands on the last line when nothing ends it. */
  end(): void {
    this.#take(`${this.#decoder.end()}\n`);
  }

  #take(text: string): void {
    const parts = text.split(/[\r\n]/u);
    for (const [index, part] of parts.entries()) {
      if (this.#rest.length < lineLimit)
        this.#rest += part.slice(0, lineLimit - this.#rest.length);
      if (index === parts.length - 1) return;
      const line = this.#rest;
      this.#rest = "";
      if (line !== "") this.#onLine(line);
    }
  }
}
