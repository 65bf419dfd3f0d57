import { throwIfCancelled } from "./operation.js";
import { settledOrAborted } from "./waiting.js";

/** Mutual exclusion by key, first come first served. */
export class KeyedLock {
  readonly #tails = new Map<string, Promise<void>>();

  /**
   * Runs `work` alone among holders of `key`.
   * @throws CancelledError when `signal` aborts while waiting; the place in the queue is given up then
   */
  async run<T>(
    key: string,
    signal: AbortSignal,
    work: () => Promise<T>,
  ): Promise<T> {
    const previous = this.#tails.get(key);
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const tail = previous ? previous.then(() => held) : held;
    this.#tails.set(key, tail);
    try {
      // One operation may take the locks of a thousand VMs at once: as many listeners of its signal would look like a leak.
      if (previous) await settledOrAborted(previous, signal);
      throwIfCancelled(signal, `waiting for ${key}`);
      return await work();
    } finally {
      release();
      // Not at once: after a cancelled wait the key is still held by those before.
      void tail.then(() => {
        if (this.#tails.get(key) === tail) this.#tails.delete(key);
      });
    }
  }

  /** Number of keys held or waited for. */
  get size(): number {
    return this.#tails.size;
  }
}
