import { CancelledError } from "@banger/core";
import { AgentTimeoutError } from "./agent-errors.js";

/**
 * Runs `work` under a limit.
 * @param what is waited for, for the message
 * @throws {@link AgentTimeoutError} when the limit, not the caller, ended it
 */
export async function withLimit<T>(
  signal: AbortSignal,
  limitMs: number,
  what: string,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), limitMs);
  try {
    return await work(AbortSignal.any([signal, limit.signal]));
  } catch (error) {
    if (!limit.signal.aborted || signal.aborted) throw error;
    if (!(error instanceof CancelledError)) throw error;
    throw new AgentTimeoutError(`${what}: no answer within ${limitMs} ms`, {
      cause: error,
    });
  } finally {
    clearTimeout(timer);
  }
}
