import { setTimeout as sleep } from "node:timers/promises";
import { abortAfter, withAnySignal, type Logger } from "@banger/core";

/** How soon a new way out is taken, ms: the kernel is asked for one route, and only while a guest may leave. */
const pauseMs = 5_000;
/** Longest that one look may take, ms. */
const limitMs = 60_000;

/** Looks every few seconds, from the first `start` to `stop`. A look that fails is tried again with the next one. */
export class UplinkWatch {
  readonly #look: (signal: AbortSignal) => Promise<void>;
  readonly #logger: Logger;
  readonly #pauseMs: number;
  #running: { readonly ends: AbortController; done: Promise<void> } | undefined;

  constructor(options: {
    readonly look: (signal: AbortSignal) => Promise<void>;
    readonly logger: Logger;
    /** default: five seconds */
    readonly pauseMs?: number;
  }) {
    this.#look = options.look;
    this.#logger = options.logger;
    this.#pauseMs = options.pauseMs ?? pauseMs;
  }

  /** Idempotent. */
  start(): void {
    if (this.#running) return;
    const ends = new AbortController();
    this.#running = { ends, done: this.#watch(ends.signal) };
  }

  /** Idempotent. Resolves when a look under way has ended. */
  async stop(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    running?.ends.abort();
    await running?.done;
  }

  async #watch(ends: AbortSignal): Promise<void> {
    let hasFailed = false;
    for (;;) {
      // It must not keep the daemon alive.
      await sleep(this.#pauseMs, undefined, { signal: ends, ref: false }).catch(
        () => undefined,
      );
      if (isOver(ends)) return;
      try {
        await withAnySignal([ends, abortAfter(limitMs)], this.#look);
        hasFailed = false;
      } catch (error) {
        if (isOver(ends)) return;
        // Once, and not every few seconds.
        if (!hasFailed)
          this.#logger.warn("The host's way out could not be followed", {
            error,
          });
        hasFailed = true;
      }
    }
  }
}

/** A call, as the compiler takes a property for unchanged by what was awaited. */
function isOver({ aborted }: AbortSignal): boolean {
  return aborted;
}
