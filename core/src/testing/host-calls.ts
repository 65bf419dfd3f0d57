import { CancelledError } from "../errors.js";

/** What goes wrong, and at which host call of a run, counted from 1. */
export interface Fault {
  readonly at: number;
  /**
   * the call fails before or after it had its effect; the operation is cancelled while it runs; or the daemon is killed before or
   * after the effect, and the call never returns
   */
  readonly moment: "before" | "after" | "abort" | "kill-before" | "kill-after";
}

/** Every call that a plugin makes to a fake service, in order; makes one of them fail. */
export class HostCalls {
  readonly log: string[] = [];
  readonly #aborts = new AbortController();
  readonly #killed = deferred();
  #fault: Fault | undefined;

  /** aborts at a fault of that kind */
  get signal(): AbortSignal {
    return this.#aborts.signal;
  }

  /** Resolves at a fault that kills the daemon. */
  get killed(): Promise<void> {
    return this.#killed.promise;
  }

  /** Begins a new count with this fault ahead, or with none. */
  expect(fault?: Fault): void {
    this.log.length = 0;
    this.#fault = fault;
  }

  /**
   * Runs one call of a fake.
   * @param failure the error that a failing call throws
   * @param signal what the caller gave to end the call early
   */
  async call<T>(
    name: string,
    work: () => Promise<T>,
    failure: () => Error = () => new Error(`${name} failed, as the test wants`),
    signal?: AbortSignal,
  ): Promise<T> {
    const isFault = this.log.push(name) === this.#fault?.at;
    const moment = isFault ? this.#fault?.moment : undefined;
    if (moment === "before") throw failure();
    if (moment === "kill-before") return this.#kill();
    if (moment === "abort") this.#aborts.abort();
    if (signal?.aborted === true) throw new CancelledError(name, signal.reason);
    const value = await work();
    if (moment === "after") throw failure();
    if (moment === "kill-after") return this.#kill();
    return value;
  }

  #kill(): Promise<never> {
    this.#killed.resolve();
    return new Promise(() => undefined);
  }
}

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((done) => (resolve = done));
  return { promise, resolve };
}
