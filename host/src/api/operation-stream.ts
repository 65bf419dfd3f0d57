import type { ServerResponse } from "node:http";
import {
  beginOperation,
  isBangerError,
  reportError,
  type Logger,
  type OperationContext,
} from "@banger/core";
import { asDiskFull } from "../files/disk-full.js";
import type { Activity } from "./activity.js";
import type { OperationEvent } from "./schemas.js";

/**
 * Runs an operation and streams it as NDJSON: `begin`, any number of `progress`, and one `result` or `error`. The operation is
 * cancelled when the client leaves.
 */
export async function streamOperation(
  response: ServerResponse,
  what: string,
  context: { readonly logger: Logger; readonly activity: Activity },
  work: (operation: OperationContext) => Promise<unknown>,
): Promise<void> {
  const abort = new AbortController();
  const send = (event: OperationEvent): void => {
    if (!response.writableEnded && !response.destroyed)
      response.write(`${JSON.stringify(event)}\n`);
  };
  const operation = beginOperation({
    logger: context.logger,
    signal: abort.signal,
    progress: (stage, text) => {
      // Best effort: a client that does not read misses progress, and never costs the daemon its memory.
      if (response.writableNeedDrain) return;
      send({
        type: "progress",
        stage,
        text,
        elapsedMs: operation.timeline.elapsedMs,
      });
    },
  });
  const ended = context.activity.beginOperation(operation.id, what, abort);
  response.on("close", () => {
    if (!response.writableFinished) abort.abort(new Error("the client left"));
  });
  if (response.destroyed) abort.abort(new Error("the client left"));
  response.writeHead(200, {
    "content-type": "application/x-ndjson",
    "cache-control": "no-store",
  });
  response.flushHeaders();
  send({ type: "begin", operationId: operation.id });
  operation.logger.info("Operation began", { what });
  try {
    const value = await work(operation);
    const { elapsedMs } = operation.timeline;
    operation.logger.info("Operation done", { what, durationMs: elapsedMs });
    send({ type: "result", value, elapsedMs });
  } catch (thrown) {
    const error = asDiskFull(what, thrown);
    // A refusal is the user's business and needs no stack.
    if (isBangerError(error) && error.kind !== "failed") {
      const { code, message } = error;
      operation.logger.info("Operation refused", {
        what,
        code,
        reason: message,
      });
    } else operation.logger.error("Operation failed", { what, error });
    send({ type: "error", error: toWire(reportError(error, operation.id)) });
  } finally {
    ended();
    response.end();
  }
}

type WireReport = Extract<OperationEvent, { type: "error" }>["error"];

function toWire({
  details,
  ...report
}: ReturnType<typeof reportError>): WireReport {
  return { ...report, ...(details ? { details: [...details] } : {}) };
}
