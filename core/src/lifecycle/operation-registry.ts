import type { Logger } from "../contracts/logger.js";
import { CancelledError, isBangerError } from "../errors.js";
import type { OperationRecord } from "../model/operation-record.js";
import { asPartOf } from "./current-operation.js";
import {
  OperationAmbiguousError,
  OperationEndedError,
  OperationNotFoundError,
} from "./operation-registry-errors.js";
import {
  beginOperation,
  type OperationContext,
  type Progress,
} from "./operation.js";
import {
  TrackedOperation,
  type OperationListener,
} from "./tracked-operation.js";

export interface RunOptions {
  /** its abort cancels the operation */
  readonly signal?: AbortSignal;
  readonly progress?: Progress;
  /** the VM that the operation is about, as the caller wrote it */
  readonly vm?: string;
}

/** How long an ended operation can be asked about, ms. */
const keptMs = 60 * 60 * 1000;
/** Ended operations that are kept; the oldest end goes first. */
const mostEnded = 100;

/** Every operation of this daemon, whoever began it: who looks can see how far it is, follow it and cancel it. */
export class OperationRegistry {
  readonly #logger: Logger;
  /** by id, newest last */
  readonly #operations = new Map<string, TrackedOperation>();
  #isClosed = false;
  #settled: (() => void)[] = [];

  constructor({ logger }: { logger: Logger }) {
    this.#logger = logger;
  }

  /**
   * Runs an operation from its beginning to its end. What it throws is logged here, and thrown on.
   * @param what in words, such as `start web`
   * @throws what `work` throws; CancelledError instead of a bare abort, and after {@link end}
   */
  async run<T>(
    what: string,
    { signal, progress, vm }: RunOptions,
    work: (operation: OperationContext) => Promise<T>,
  ): Promise<T> {
    if (this.#isClosed)
      throw new CancelledError(what, new Error("the daemon ends"));
    const abort = new AbortController();
    const onAbort = (): void => {
      abort.abort(new CancelledError(what, signal?.reason));
    };
    signal?.addEventListener("abort", onAbort);
    if (signal?.aborted) onAbort();
    const operation = beginOperation({
      logger: this.#logger,
      signal: abort.signal,
      progress: (stage, text) => {
        tracked.announce(stage, text, operation.timeline.elapsedMs);
        progress?.(stage, text);
      },
    });
    const tracked = new TrackedOperation({ what, vm, operation, abort });
    this.#operations.set(operation.id, tracked);
    operation.logger.info("Operation began", { what: tracked.what });
    try {
      const value = await asPartOf(operation.id, () => work(operation));
      this.#end(operation, tracked);
      return value;
    } catch (thrown) {
      const error = asCancelled(thrown, abort.signal);
      this.#end(operation, tracked, { error });
      throw error;
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  }

  /** All that run or ended within the last hour, newest last. */
  list(): readonly OperationRecord[] {
    this.#prune();
    return [...this.#operations.values()].map(({ record }) => record);
  }

  get runningCount(): number {
    return this.#runningOnes().length;
  }

  /** By its whole id. */
  find(id: string): OperationRecord | undefined {
    this.#prune();
    return this.#operations.get(id)?.record;
  }

  /**
   * By its id or a prefix of exactly one.
   * @throws {@link OperationNotFoundError}, {@link OperationAmbiguousError}
   */
  get(reference: string): OperationRecord {
    return this.#resolve(reference).record;
  }

  /**
   * Aborts an operation and returns at once: it has ended when it has cleaned up. Cancelling it once more is fine while it does.
   * @param reference its id or a prefix of exactly one
   * @throws {@link OperationEndedError}, {@link OperationNotFoundError}, {@link OperationAmbiguousError}
   */
  cancel(reference: string, reason = "somebody asked for it"): OperationRecord {
    const tracked = this.#resolve(reference);
    if (!tracked.isRunning) throw new OperationEndedError(tracked.record);
    tracked.cancel(reason);
    return tracked.record;
  }

  /**
   * Tells the stages so far at once, then each as it comes, and last the end.
   * @param reference its id or a prefix of exactly one
   * @returns what to call to hear no more
   * @throws {@link OperationNotFoundError}, {@link OperationAmbiguousError}
   */
  follow(reference: string, listener: OperationListener): () => void {
    return this.#resolve(reference).follow(listener);
  }

  /** For the daemon's end: cancels everything, lets nothing begin any more, and resolves when all has cleaned up or after `limitMs`. */
  async end(limitMs: number): Promise<void> {
    this.#isClosed = true;
    const running = this.#runningOnes();
    for (const tracked of running) tracked.cancel("the daemon ends");
    if (running.length === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, limitMs);
      this.#settled.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  #end(
    operation: OperationContext,
    tracked: TrackedOperation,
    failure?: { readonly error: unknown },
  ): void {
    const { state, what, elapsedMs } = tracked.end(failure);
    this.#log(operation, { what, state, durationMs: elapsedMs }, failure);
    this.#prune();
    if (this.runningCount > 0) return;
    for (const resolve of this.#settled) resolve();
    this.#settled = [];
  }

  #log(
    { logger }: OperationContext,
    fields: Record<string, unknown>,
    failure: { readonly error: unknown } | undefined,
  ): void {
    if (!failure) {
      logger.info("Operation done", fields);
      return;
    }
    const { error } = failure;
    // A refusal is the user's business and needs no stack.
    if (isBangerError(error) && error.kind !== "failed") {
      const { code, message } = error;
      logger.info("Operation refused", { ...fields, code, reason: message });
    } else logger.error("Operation failed", { ...fields, error });
  }

  #runningOnes(): readonly TrackedOperation[] {
    return [...this.#operations.values()].filter(({ isRunning }) => isRunning);
  }

  #resolve(reference: string): TrackedOperation {
    this.#prune();
    const exact = this.#operations.get(reference);
    if (exact) return exact;
    const matches = [...this.#operations].filter(
      ([id]) => reference !== "" && id.startsWith(reference),
    );
    const [match] = matches;
    if (!match) throw new OperationNotFoundError(reference);
    if (matches.length > 1)
      throw new OperationAmbiguousError(
        reference,
        matches.map(([id]) => id),
      );
    return match[1];
  }

  /** Whenever somebody looks or an operation ends: a timer would have to be ended too. */
  #prune(): void {
    const now = performance.now();
    const ended = [...this.#operations]
      .flatMap(([id, { endedAtMs }]) =>
        endedAtMs === undefined ? [] : [{ id, endedAtMs }],
      )
      .sort((a, b) => b.endedAtMs - a.endedAtMs);
    ended.forEach(({ id, endedAtMs }, place) => {
      if (place >= mostEnded || now - endedAtMs >= keptMs)
        this.#operations.delete(id);
    });
  }
}

/** Node's own calls reject with an AbortError; in our words it says who cancelled, and why. */
function asCancelled(thrown: unknown, signal: AbortSignal): unknown {
  const isAbort = thrown instanceof Error && thrown.name === "AbortError";
  return signal.aborted && isAbort ? signal.reason : thrown;
}
