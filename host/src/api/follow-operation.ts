import {
  StageLog,
  type OperationRecord,
  type OperationRegistry,
} from "@banger/core";
import { toWire } from "./operation-stream.js";
import type { OperationEvent } from "./schemas.js";

/**
 * What happens to an operation, in the form of its own stream: `begin`, the stages so far, then each as it comes, and last `result` with
 * its record, or `error`. Leaving does not touch the operation. Who reads slowly gets the latest of each stage.
 */
export async function* followOperation(
  operations: OperationRegistry,
  id: string,
  signal: AbortSignal,
): AsyncGenerator<OperationEvent> {
  const unread = new StageLog();
  let ended: OperationRecord | undefined;
  let wake = (): void => undefined;
  const unfollow = operations.follow(id, (update) => {
    if (update.type === "end") ended = update.record;
    else {
      const { stage, text, elapsedMs } = update;
      unread.push({ stage, text, elapsedMs });
    }
    wake();
  });
  const onAbort = (): void => {
    wake();
  };
  signal.addEventListener("abort", onAbort);
  try {
    yield { type: "begin", operationId: id };
    while (!signal.aborted) {
      const stage = unread.shift();
      if (stage) yield { type: "progress", ...stage };
      else if (ended) {
        yield outcomeOf(ended);
        return;
      } else
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
    }
  } finally {
    unfollow();
    signal.removeEventListener("abort", onAbort);
  }
}

function outcomeOf(record: OperationRecord): OperationEvent {
  return record.error
    ? { type: "error", error: toWire(record.error) }
    : { type: "result", value: record, elapsedMs: record.elapsedMs };
}
