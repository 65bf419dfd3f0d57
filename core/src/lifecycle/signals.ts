/**
 * Aborts after a time, and does not keep the process alive for it. To be used instead of `AbortSignal.timeout`, which Node 20 collects,
 * so that it never fires, when nothing but an `AbortSignal.any` knows it.
 */
export function abortAfter(limitMs: number): AbortSignal {
  const limit = new AbortController();
  setTimeout(() => {
    limit.abort(new DOMException("it took too long", "TimeoutError"));
  }, limitMs).unref();
  return limit.signal;
}

/**
 * Runs `work` with a signal that aborts with the first of these, and lets go of them when it has settled. To be used instead of
 * `AbortSignal.any` where one of them lives long: in Node 20 a signal never forgets those that were made from it.
 */
export async function withAnySignal<T>(
  signals: readonly AbortSignal[],
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const any = new AbortController();
  const onAbort = (): void => {
    any.abort(signals.find(({ aborted }) => aborted)?.reason);
  };
  for (const signal of signals) signal.addEventListener("abort", onAbort);
  if (signals.some(({ aborted }) => aborted)) onAbort();
  try {
    return await work(any.signal);
  } finally {
    for (const signal of signals) signal.removeEventListener("abort", onAbort);
  }
}
