import type { OperationStage } from "../model/operation-record.js";

/** Stages that are kept; of a longer operation the latest. */
const mostStages = 100;

/**
 * The stages of an operation for somebody who comes late: the latest text of each, and every warning. Its size is bounded, however
 * much is said.
 */
export class StageLog {
  readonly #stages: OperationStage[] = [];

  push(next: OperationStage): void {
    const last = this.#stages.at(-1);
    const replaces =
      last?.stage === next.stage && !last.text.startsWith("warning: ");
    if (replaces) this.#stages.pop();
    this.#stages.push(next);
    if (this.#stages.length > mostStages) this.#stages.shift();
  }

  /** Removes and returns the oldest. */
  shift(): OperationStage | undefined {
    return this.#stages.shift();
  }

  get latest(): OperationStage | undefined {
    return this.#stages.at(-1);
  }

  get all(): readonly OperationStage[] {
    return [...this.#stages];
  }
}
