import {
  throwIfCancelled,
  type OperationContext,
} from "../lifecycle/operation.js";
import { settledOrAborted } from "../lifecycle/waiting.js";
import type { VmId, VmRecord } from "../model/vm.js";
import { StartCancelledError } from "./operation-errors.js";

interface Start {
  readonly cancel: AbortController;
  /** never rejects */
  readonly ended: Promise<void>;
}

/** The starts that run or wait for their VM's lock, so that a stop or delete can end them. */
export class StartsUnderWay {
  readonly #starts = new Map<VmId, Set<Start>>();

  has(id: VmId): boolean {
    return this.#starts.has(id);
  }

  /** Runs `work`, a start with its cleaning up, under a signal that {@link cancel} aborts too. */
  async run<T>(
    id: VmId,
    operation: OperationContext,
    work: (operation: OperationContext) => Promise<T>,
  ): Promise<T> {
    const cancel = new AbortController();
    const signal = AbortSignal.any([operation.signal, cancel.signal]);
    const running = work({ ...operation, signal });
    const ended = running.then(
      () => undefined,
      () => undefined,
    );
    const start: Start = { cancel, ended };
    const starts = this.#starts.get(id) ?? new Set();
    this.#starts.set(id, starts.add(start));
    try {
      return await running;
    } finally {
      starts.delete(start);
      if (starts.size === 0) this.#starts.delete(id);
    }
  }

  /**
   * Cancels every start of the VM and waits until each has cleaned up. Its owner gets a StartCancelledError.
   * @param by the operation that wants it, such as `stop`
   * @returns was there one?
   * @throws CancelledError when the caller is cancelled while it waits
   */
  async cancel(
    { id, name }: VmRecord,
    by: string,
    operation: OperationContext,
  ): Promise<boolean> {
    const starts = [...(this.#starts.get(id) ?? [])];
    if (starts.length === 0) return false;
    operation.progress("cancel", `the start of ${name} that is under way`);
    const reason = new StartCancelledError(name, `${by} (${operation.id})`);
    for (const { cancel } of starts) cancel.abort(reason);
    const ended = Promise.all(starts.map((start) => start.ended));
    await settledOrAborted(ended, operation.signal);
    throwIfCancelled(operation.signal, by);
    return true;
  }
}
