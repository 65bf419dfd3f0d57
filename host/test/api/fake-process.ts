import { PassThrough } from "node:stream";
import type { GuestExit, GuestProcess, TerminalSize } from "@banger/core";

/** A guest process whose streams and end the test has in its hand. */
export class FakeProcess implements GuestProcess {
  readonly stdin = new PassThrough();
  readonly stdout = new PassThrough();
  readonly stderr = new PassThrough();
  readonly sizes: TerminalSize[] = [];
  readonly exit: Promise<GuestExit>;
  terminations = 0;
  #settle: (exit: GuestExit) => void = () => undefined;
  #onTerminated: () => void = () => undefined;
  readonly terminated: Promise<void>;

  constructor() {
    this.exit = new Promise((resolve) => (this.#settle = resolve));
    this.terminated = new Promise((resolve) => (this.#onTerminated = resolve));
  }

  resize({ columns, rows }: TerminalSize): void {
    this.sizes.push({ columns, rows });
  }

  end(exit: GuestExit): void {
    this.stdout.end();
    this.stderr.end();
    this.#settle(exit);
  }

  terminate(): Promise<void> {
    this.terminations += 1;
    this.end({ signal: "SIGTERM" });
    this.#onTerminated();
    return Promise.resolve();
  }
}
