import type { Logger } from "../contracts/logger.js";
import { describeError } from "../errors.js";
import type { OperationContext } from "./operation.js";

/** Undoes the steps of one operation, newest first. A step is pushed before it is taken: half-done steps count. */
export class UndoStack {
  readonly #steps: { name: string; undo: () => Promise<unknown> }[] = [];
  readonly #logger: Logger;
  readonly #abandoned: AbortSignal | undefined;

  /** @param operation where nobody waits for the rest any more, no further step begins */
  constructor({
    logger,
    abandoned,
  }: Pick<OperationContext, "logger" | "abandoned">) {
    this.#logger = logger;
    this.#abandoned = abandoned;
  }

  push(name: string, undo: () => Promise<unknown>): void {
    this.#steps.push({ name, undo });
  }

  /**
   * Runs every undo, whatever the others do, and empties the stack.
   * @returns what could not be undone, a line each
   */
  async unwind(): Promise<readonly string[]> {
    const leftovers: string[] = [];
    for (let step = this.#steps.pop(); step; step = this.#steps.pop()) {
      try {
        if (this.#abandoned?.aborted) throw new Error("given up on");
        await step.undo();
      } catch (error) {
        this.#logger.error("Undo failed", { step: step.name, error });
        leftovers.push(`${step.name}: ${describeError(error)}`);
      }
    }
    return leftovers;
  }
}
