import type { Readable } from "node:stream";
import { LineSplitter } from "./line-splitter.js";

/** Keeps what a program writes to one stream, up to a limit, and hands its lines on. */
export class CapturedStream {
  readonly #stream: Readable;
  readonly #chunks: Buffer[] = [];
  readonly #lines: LineSplitter | undefined;
  #bytes = 0;
  #chunkCount = 0;
  /** settles when the writing end is closed everywhere, or after `abandon` */
  readonly ended: Promise<void>;

  /** @param fail called once when the limit is passed or `onLine` throws */
  constructor(
    stream: Readable,
    limitBytes: number,
    onLine: ((line: string) => void) | undefined,
    fail: (reason: "too much" | { thrown: unknown }) => void,
  ) {
    this.#stream = stream;
    this.#lines = onLine && new LineSplitter(onLine);
    const failing = { done: false };
    const failOnce = (reason: "too much" | { thrown: unknown }): void => {
      if (!failing.done) fail(reason);
      failing.done = true;
    };
    const guard = (work: () => void): void => {
      try {
        work();
      } catch (thrown) {
        failOnce({ thrown });
      }
    };
    stream.on("data", (chunk: Buffer) => {
      this.#chunkCount += 1;
      if (failing.done) return;
      const kept = chunk.subarray(0, limitBytes - this.#bytes);
      this.#bytes += kept.length;
      this.#chunks.push(kept);
      guard(() => this.#lines?.write(kept));
      if (kept.length < chunk.length) failOnce("too much");
    });
    this.ended = new Promise((resolve) => {
      // A broken pipe ends the output as well; how the program ended decides what that means.
      stream.on("error", () => resolve());
      stream.on("close", () => {
        if (!failing.done) guard(() => this.#lines?.end());
        resolve();
      });
    });
  }

  /** Grows with every chunk. */
  get chunkCount(): number {
    return this.#chunkCount;
  }

  get text(): string {
    return Buffer.concat(this.#chunks).toString("utf8");
  }

  /** Stops reading, though somebody may still write. */
  abandon(): void {
    this.#stream.destroy();
  }
}
