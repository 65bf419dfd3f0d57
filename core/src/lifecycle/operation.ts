import { randomBytes } from "node:crypto";
import type { Logger } from "../contracts/logger.js";
import { CancelledError, isBangerError } from "../errors.js";
import { TimelineRecorder } from "../model/timeline.js";

/** Reports that a stage begins, or how far it is: `progress("image", "unpacking 120 packages")`. */
export type Progress = (stage: string, text: string) => void;

/** What every operation carries from the edge to the last call. */
export interface OperationContext {
  /** `op-` and eight hexadecimal digits; finds the operation in the log */
  readonly id: string;
  /** aborts when the owner leaves or cancels */
  readonly signal: AbortSignal;
  readonly logger: Logger;
  readonly progress: Progress;
  readonly timeline: TimelineRecorder;
  /** aborts when nobody waits for the rest any more, teardown included: no further step may begin */
  readonly abandoned?: AbortSignal;
}

/**
 * Runs one stage: announces it, records its time, refuses to begin after an abort.
 * @throws {@link CancelledError}
 */
export async function runStage<T>(
  operation: OperationContext,
  stage: string,
  text: string,
  work: () => Promise<T>,
): Promise<T> {
  throwIfCancelled(operation.signal, stage);
  operation.progress(stage, text);
  operation.logger.debug("Stage began", { stage });
  return operation.timeline.measure("stage", stage, work);
}

export function throwIfCancelled(signal: AbortSignal, what: string): void {
  if (!signal.aborted) return;
  // A reason in our own words says who cancelled, and why.
  if (isBangerError(signal.reason)) throw signal.reason;
  throw new CancelledError(what, signal.reason);
}

/** The context for undoing: the same operation, which nothing aborts but that it is abandoned. */
export function forTeardown(operation: OperationContext): OperationContext {
  const signal = operation.abandoned ?? new AbortController().signal;
  return { ...operation, signal };
}

/** Begins an operation: gives it an id and a logger that carries it. */
export function beginOperation(options: {
  readonly logger: Logger;
  readonly signal: AbortSignal;
  readonly progress?: Progress;
}): OperationContext {
  const id = `op-${randomBytes(4).toString("hex")}`;
  const logger = options.logger.child({ operation: id });
  const progress = options.progress ?? (() => undefined);
  return {
    id,
    signal: options.signal,
    logger,
    progress,
    timeline: new TimelineRecorder(),
  };
}
