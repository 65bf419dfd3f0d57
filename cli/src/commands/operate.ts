import type { Cli } from "./command.js";
import type { OperationResult } from "../client/api-client.js";
import { progressView } from "../render/progress.js";

export interface Operate {
  /** GET follows an operation that somebody else began */
  readonly method: "GET" | "POST" | "PATCH" | "DELETE";
  readonly path: string;
  readonly body?: unknown;
  readonly quiet?: boolean;
  /** tells operations that run side by side apart */
  readonly label?: string | undefined;
  /** replaces the signal of the process, for what must end well after an interruption */
  readonly signal?: AbortSignal;
  /** called for each stage that the operation tells */
  readonly onStage?: (stage: string) => void;
}

/** Runs an operation in the daemon and shows its progress on stderr. An interruption cancels it there, and is thrown when it has cleaned up. */
export async function operate<T>(
  { client, io, errorStyle }: Cli,
  { method, path, body, quiet, label, signal, onStage }: Operate,
): Promise<OperationResult<T>> {
  const view = progressView(io.stderr, errorStyle, {
    ...(quiet === undefined ? {} : { quiet }),
    ...(label === undefined ? {} : { label }),
  });
  let failed = true;
  try {
    const result = await client.operation<T>(method, path, {
      ...(body === undefined ? {} : { body }),
      signal: signal ?? io.interrupted,
      onEvent: (event) => {
        view.show(event);
        if (event.type === "progress") onStage?.(event.stage);
      },
      onCancel: () => {
        view.cancelling();
      },
    });
    failed = false;
    return result;
  } finally {
    view.end(failed);
  }
}

/** A line about what happens, on stderr. */
export function note({ io }: Cli, text: string): void {
  io.stderr.write(`${text}\n`);
}
