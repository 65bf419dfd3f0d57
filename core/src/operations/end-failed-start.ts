import type { VmStore } from "../contracts/vm-store.js";
import { CancelledError, describeError, isBangerError } from "../errors.js";
import type { OperationContext } from "../lifecycle/operation.js";
import { UndoStack } from "../lifecycle/undo-stack.js";
import type { VmRecord, VmState } from "../model/vm.js";
import { StartFailedError } from "./operation-errors.js";
import { withoutProvisional } from "./runtime-marks.js";

/** How far a start came. */
export interface FailedStart {
  /** the VM as it was */
  readonly before: VmRecord;
  readonly vmmRan: boolean;
  readonly undo: UndoStack;
}

/**
 * Removes what a start made that throws, and records why. The first cause stays the cause; what could not be removed is listed beside
 * it, never instead of it.
 * @returns what the start's owner is to get
 */
export async function endFailedStart(
  vmStore: VmStore,
  { before, vmmRan, undo }: FailedStart,
  thrown: unknown,
  operation: OperationContext,
): Promise<StartFailedError> {
  const { signal, timeline } = operation;
  const cause = signal.aborted ? cancelCause(signal.reason, thrown) : thrown;
  const leftovers = await undo.unwind();
  // Before the VMM ran there is nothing to look into, and a cancelled start is nobody's error; leftovers are.
  const kept = leftovers.length > 0 || (vmmRan && !signal.aborted);
  const unsaid = new UndoStack(operation);
  unsaid.push("record", () =>
    vmStore.update(before.id, ({ state, runtime }) => ({
      state: kept ? "error" : stateBack(state, before.state),
      runtime: {
        ...withoutProvisional(runtime),
        // Also after the row said running, when it was the answer of the store that got lost.
        ...(kept || !before.runtime.provisional ? {} : { provisional: true }),
        lastError: describeError(cause),
        lastStart: timeline.entries(),
      },
    })),
  );
  const lines = [...leftovers, ...(await unsaid.unwind())];
  return new StartFailedError(before.name, cause, lines, kept);
}

/** However a step takes an abort, it was asked for: by somebody who says why, or by the owner who left. */
function cancelCause(reason: unknown, error: unknown): unknown {
  if (isBangerError(reason)) return reason;
  return error instanceof CancelledError
    ? error
    : new CancelledError("start", error);
}

/** A VM that was said to run is stopped and no longer as if never started. */
function stateBack(now: VmState, before: VmState): VmState {
  return now === "running" && before === "created" ? "stopped" : before;
}
