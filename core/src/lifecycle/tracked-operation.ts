import {
  CancelledError,
  isBangerError,
  reportError,
  type ErrorReport,
} from "../errors.js";
import type {
  OperationRecord,
  OperationState,
  OperationUpdate,
} from "../model/operation-record.js";
import type { OperationContext } from "./operation.js";
import { StageLog } from "./stage-log.js";

/** Takes what happens to an operation; must not throw. */
export type OperationListener = (update: OperationUpdate) => void;

// What a record keeps of texts that clients, guests and plugins have a say in, characters and lines.
const mostText = 500;
const mostDetails = 50;
const mostTimelineEntries = 500;

/** One operation in the registry: live while it runs, after that a record without its context. */
export class TrackedOperation {
  readonly what: string;
  readonly #vm: string | undefined;
  readonly #startedAt = new Date().toISOString();
  readonly #stages = new StageLog();
  readonly #followers = new Set<OperationListener>();
  #running: { operation: OperationContext; abort: AbortController } | undefined;
  #ended: OperationRecord | undefined;
  #endedAtMs: number | undefined;

  constructor(options: {
    readonly what: string;
    readonly vm: string | undefined;
    readonly operation: OperationContext;
    readonly abort: AbortController;
  }) {
    const { what, vm, operation, abort } = options;
    this.what = cut(what);
    this.#vm = vm === undefined ? undefined : cut(vm);
    this.#running = { operation, abort };
  }

  get isRunning(): boolean {
    return this.#running !== undefined;
  }

  /** When it ended by the monotonic clock, ms; absent while it runs. */
  get endedAtMs(): number | undefined {
    return this.#endedAtMs;
  }

  get record(): OperationRecord {
    if (this.#ended) return this.#ended;
    if (!this.#running) throw new Error("an operation neither runs nor ended");
    const { operation, abort } = this.#running;
    return this.#describe(operation, {
      state: "running",
      ...(abort.signal.aborted ? { isEnding: true } : {}),
    });
  }

  announce(stage: string, text: string, elapsedMs: number): void {
    const next = { stage: cut(stage), text: cut(text), elapsedMs };
    this.#stages.push(next);
    for (const listener of this.#followers)
      listener({ type: "stage", ...next });
  }

  /** Aborts it; nothing happens the second time, or when it has ended. */
  cancel(reason: string): void {
    this.#running?.abort.abort(
      new CancelledError(this.what, new Error(reason)),
    );
  }

  /** It has ended. @param failure what it threw */
  end(failure?: { readonly error: unknown }): OperationRecord {
    if (!this.#running) throw new Error("an operation ended twice");
    const { operation } = this.#running;
    const record = this.#describe(operation, {
      state: failure ? stateAfter(failure.error, operation.signal) : "done",
      endedAt: new Date().toISOString(),
      ...(failure
        ? { error: shorten(reportError(failure.error, operation.id)) }
        : {}),
    });
    this.#ended = record;
    this.#endedAtMs = performance.now();
    this.#running = undefined;
    const followers = [...this.#followers];
    this.#followers.clear();
    for (const listener of followers) listener({ type: "end", record });
    return record;
  }

  /** Tells the stages so far at once, then what comes. @returns what to call to hear no more */
  follow(listener: OperationListener): () => void {
    for (const stage of this.#stages.all) listener({ type: "stage", ...stage });
    if (this.#ended) {
      listener({ type: "end", record: this.#ended });
      return () => undefined;
    }
    // A function of its own, so that one listener can follow twice.
    const follower: OperationListener = (update) => {
      listener(update);
    };
    this.#followers.add(follower);
    return () => {
      this.#followers.delete(follower);
    };
  }

  #describe(
    { id, timeline }: OperationContext,
    rest: Pick<OperationRecord, "state" | "isEnding" | "endedAt" | "error">,
  ): OperationRecord {
    const { stage, text } = this.#stages.latest ?? {};
    return {
      id,
      what: this.what,
      ...(this.#vm === undefined ? {} : { vm: this.#vm }),
      ...(stage === undefined ? {} : { stage }),
      ...(text === undefined ? {} : { text }),
      startedAt: this.#startedAt,
      elapsedMs: timeline.elapsedMs,
      timeline: timeline.entries().slice(0, mostTimelineEntries),
      ...rest,
    };
  }
}

function stateAfter(error: unknown, signal: AbortSignal): OperationState {
  const isCancelled =
    signal.aborted || (isBangerError(error) && error.kind === "cancelled");
  return isCancelled ? "cancelled" : "failed";
}

function shorten({ message, details, ...rest }: ErrorReport): ErrorReport {
  return {
    ...rest,
    message: cut(message),
    ...(details ? { details: details.slice(0, mostDetails).map(cut) } : {}),
  };
}

function cut(text: string): string {
  return text.length > mostText ? `${text.slice(0, mostText - 1)}…` : text;
}
