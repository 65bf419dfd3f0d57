import { constants } from "node:os";
import { Interruption, type Input, type Io, type Output } from "./io.js";

const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** The process's own streams, each opened at its first use: that costs more than many a command. */
export class ProcessIo implements Io {
  readonly env = process.env;
  readonly cwd = process.cwd();
  #stdin: Input | undefined;
  #stdout: Output | undefined;
  #stderr: Output | undefined;
  readonly #control = new AbortController();
  #watching = false;

  get stdin(): Input {
    return (this.#stdin ??= process.stdin);
  }

  get stdout(): Output {
    return (this.#stdout ??= this.#watch(process.stdout));
  }

  get stderr(): Output {
    return (this.#stderr ??= this.#watch(process.stderr));
  }

  get interrupted(): AbortSignal {
    if (!this.#watching) {
      this.#watching = true;
      for (const signal of signals) process.on(signal, this.#onSignal);
    }
    return this.#control.signal;
  }

  /** The first one asks; the second one, of whatever kind, ends the process as if nobody watched. */
  readonly #onSignal = (signal: (typeof signals)[number]): void => {
    for (const one of signals) process.off(one, this.#onSignal);
    this.#control.abort(
      new Interruption(signal, 128 + constants.signals[signal]),
    );
  };

  /** Lets go of the input and waits until all output is out. @returns the status to exit with */
  async close(status: number): Promise<number> {
    this.#stdin?.destroy();
    await Promise.all([drain(this.#stdout), drain(this.#stderr)]);
    return status;
  }

  /** A reader that has gone, as in `banger vm logs x | head`, is no failure: the command ends and says nothing. */
  #watch(output: Output): Output {
    output.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") throw error;
      this.#control.abort(
        new Interruption("SIGPIPE", 128 + constants.signals.SIGPIPE),
      );
    });
    return output;
  }
}

function drain(output: Output | undefined): Promise<void> {
  if (!output || output.destroyed || output.writableLength === 0)
    return Promise.resolve();
  return new Promise((resolve) => {
    output.once("drain", resolve).once("error", () => {
      resolve();
    });
    output.write("", () => {
      resolve();
    });
  });
}
