import type { ErrorReport } from "../errors.js";
import type { Timeline } from "./timeline.js";

export type OperationState = "running" | "done" | "failed" | "cancelled";

/** One operation as others see it: what it is, how far it got, what it came to. */
export interface OperationRecord {
  /** `op-` and eight hexadecimal digits; the same in the log */
  readonly id: string;
  /** in words, such as `start web` */
  readonly what: string;
  /** the VM that it is about, as its caller wrote it */
  readonly vm?: string;
  readonly state: OperationState;
  /** was cancelled and still cleans up */
  readonly isEnding?: true;
  /** the latest stage */
  readonly stage?: string;
  /** how far the stage is */
  readonly text?: string;
  /** ISO 8601, UTC */
  readonly startedAt: string;
  /** ISO 8601, UTC; absent while it runs */
  readonly endedAt?: string;
  /** so far, or in all, ms */
  readonly elapsedMs: number;
  /** why it did not get done */
  readonly error?: ErrorReport;
  /** stages and hooks that have ended, by start time */
  readonly timeline: Timeline;
}

/** A stage that began, or how far it is. */
export interface OperationStage {
  readonly stage: string;
  readonly text: string;
  /** since the operation began, ms */
  readonly elapsedMs: number;
}

/** What a follower hears: stages, then the end. */
export type OperationUpdate =
  | ({ readonly type: "stage" } & OperationStage)
  | { readonly type: "end"; readonly record: OperationRecord };
