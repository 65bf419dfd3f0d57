import { CancelledError } from "@banger/core";

/** Somebody whose turn it is not yet. */
interface Waiter {
  readonly signal: AbortSignal;
  readonly begin: () => void;
  readonly giveUp: () => void;
}

/** So many at once, the others in the order in which they came. */
export class Turns {
  readonly #atOnce: number;
  #waiters: readonly Waiter[] = [];
  #running = 0;

  constructor(atOnce: number) {
    this.#atOnce = atOnce;
  }

  /** Number of those that wait. */
  get waiting(): number {
    return this.#waiters.length;
  }

  /**
   * Runs `work` when it is its turn.
   * @throws CancelledError when `signal` aborts while it waits; what `work` throws
   */
  async run<T>(
    what: string,
    signal: AbortSignal,
    work: () => Promise<T>,
  ): Promise<T> {
    if (this.#running < this.#atOnce) this.#running += 1;
    else await this.#wait(what, signal);
    try {
      return await work();
    } finally {
      this.#handOn();
    }
  }

  #wait(what: string, signal: AbortSignal): Promise<void> {
    return new Promise((begin, reject) => {
      const giveUp = (): void => {
        reject(new CancelledError(`waiting for ${what}`, signal.reason));
      };
      if (signal.aborted) {
        giveUp();
        return;
      }
      this.#waiters = [...this.#waiters, { signal, begin, giveUp }];
      // The same listener again is no other one: one signal may have a thousand that wait.
      signal.addEventListener("abort", this.#onAbort);
    });
  }

  /** A turn is handed on rather than given back, so that nobody who comes now goes first. */
  #handOn(): void {
    const [next, ...others] = this.#waiters;
    this.#waiters = others;
    if (!next) {
      this.#running -= 1;
      return;
    }
    const { signal } = next;
    if (!others.some((other) => other.signal === signal))
      signal.removeEventListener("abort", this.#onAbort);
    next.begin();
  }

  readonly #onAbort = ({ target }: Event): void => {
    const gone = this.#waiters.filter(({ signal }) => signal === target);
    this.#waiters = this.#waiters.filter(({ signal }) => signal !== target);
    target?.removeEventListener("abort", this.#onAbort);
    for (const { giveUp } of gone) giveUp();
  };
}
