import type { ServerResponse } from "node:http";
import {
  reportError,
  type ErrorReport,
  type OperationContext,
  type OperationRegistry,
} from "@banger/core";
import { asDiskFull } from "../files/disk-full.js";
import type { OperationEvent } from "./schemas.js";

export interface OperationStreamOptions {
  readonly operations: OperationRegistry;
  /** in words, such as `start web` */
  readonly what: string;
  /** the VM that it is about, as the client wrote it */
  readonly vm: string | undefined;
  readonly work: (operation: OperationContext) => Promise<unknown>;
}

/**
 * Runs an operation and streams it as NDJSON: `begin`, any number of `progress`, and one `result` or `error`. The operation is
 * cancelled when the client leaves.
 */
export async function streamOperation(
  response: ServerResponse,
  { operations, what, vm, work }: OperationStreamOptions,
): Promise<void> {
  const left = new AbortController();
  const send = (event: OperationEvent): void => {
    if (!response.writableEnded && !response.destroyed)
      response.write(`${JSON.stringify(event)}\n`);
  };
  response.on("close", () => {
    if (!response.writableFinished) left.abort(new Error("the client left"));
  });
  if (response.destroyed) left.abort(new Error("the client left"));
  response.writeHead(200, {
    "content-type": "application/x-ndjson",
    "cache-control": "no-store",
  });
  response.flushHeaders();
  let begun: OperationContext | undefined;
  const progress = (stage: string, text: string): void => {
    // Best effort: a client that does not read misses progress, and never costs the daemon its memory.
    if (response.writableNeedDrain) return;
    const elapsedMs = begun?.timeline.elapsedMs ?? 0;
    send({ type: "progress", stage, text, elapsedMs });
  };
  const options = {
    signal: left.signal,
    progress,
    ...(vm === undefined ? {} : { vm }),
  };
  try {
    const value = await operations.run(what, options, async (operation) => {
      begun = operation;
      send({ type: "begin", operationId: operation.id });
      try {
        return await work(operation);
      } catch (error) {
        throw asDiskFull(what, error);
      }
    });
    const elapsedMs = begun?.timeline.elapsedMs ?? 0;
    send({ type: "result", value, elapsedMs });
  } catch (error) {
    send({ type: "error", error: toWire(reportError(error, begun?.id)) });
  } finally {
    response.end();
  }
}

type WireReport = Extract<OperationEvent, { type: "error" }>["error"];

export function toWire({ details, ...report }: ErrorReport): WireReport {
  return { ...report, ...(details ? { details: [...details] } : {}) };
}
