import { BangerError, CancelledError } from "../errors.js";

/** Something took longer than it may. */
export class TimeLimitError extends BangerError {
  override readonly code = "ERR_TIME_LIMIT";
  constructor(what: string, limitMs: number) {
    super(`${what} did not end within ${String(limitMs / 1000)} s`, {
      hint: "See whether the host or the guest is overloaded, then try again",
    });
  }
}

export interface Limit {
  /** what is limited, for the error's text */
  readonly what: string;
  readonly limitMs: number;
  /** how long after an abort `work` may take to end by itself, ms; then it is given up on */
  readonly graceMs: number;
  /** aborts when nobody wants the result any more */
  readonly owner?: AbortSignal;
}

/**
 * Runs `work` with a signal that aborts at the limit. Always settles: work that does not honour its signal is left behind, and what
 * becomes of it later is ignored.
 * @throws {@link TimeLimitError}, and what `work` throws
 */
export async function withinLimit<T>(
  { what, limitMs, graceMs, owner }: Limit,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = new TimeLimitError(what, limitMs);
  const limit = new AbortController();
  const signal = owner ? AbortSignal.any([owner, limit.signal]) : limit.signal;
  const timer = setTimeout(() => limit.abort(late), limitMs);
  let grace: NodeJS.Timeout | undefined;
  let onAbort = (): void => undefined;
  const givenUp = new Promise<never>((_, reject) => {
    onAbort = () => {
      grace = setTimeout(
        () => reject(new CancelledError(what, signal.reason)),
        graceMs,
      );
    };
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
  });
  try {
    return await Promise.race([work(signal), givenUp]);
  } catch (error) {
    throw limit.signal.aborted ? late : error;
  } finally {
    signal.removeEventListener("abort", onAbort);
    clearTimeout(timer);
    clearTimeout(grace);
  }
}

/** Resolves when `turn` does or `signal` aborts, whichever is first. */
export function settledOrAborted(
  turn: Promise<unknown>,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      signal.removeEventListener("abort", done);
      resolve();
    };
    signal.addEventListener("abort", done);
    if (signal.aborted) done();
    void turn.then(done, done);
  });
}
