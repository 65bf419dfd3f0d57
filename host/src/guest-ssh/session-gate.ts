import { CancelledError } from "@banger/core";

/** Bounds how many sessions are open at once; first come, first served. */
export class SessionGate {
  readonly #limit: number;
  readonly #queue: (() => void)[] = [];
  #active = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get active(): number {
    return this.#active;
  }

  /**
   * Waits for a place.
   * @returns gives the place back; idempotent
   * @throws CancelledError after `signal`
   */
  async enter(signal: AbortSignal): Promise<() => void> {
    if (signal.aborted) throw new CancelledError("a guest command");
    if (this.#active < this.#limit) this.#active++;
    else await this.#wait(signal);
    let inside = true;
    return () => {
      if (!inside) return;
      inside = false;
      const next = this.#queue.shift();
      // The place goes to the next one without ever being free.
      if (next) next();
      else this.#active--;
    };
  }

  #wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const enter = (): void => {
        signal.removeEventListener("abort", leave);
        resolve();
      };
      const leave = (): void => {
        this.#queue.splice(this.#queue.indexOf(enter), 1);
        reject(new CancelledError("a guest command", signal.reason));
      };
      this.#queue.push(enter);
      signal.addEventListener("abort", leave, { once: true });
    });
  }
}
