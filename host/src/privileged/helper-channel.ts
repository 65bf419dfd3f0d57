import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import {
  PrivilegeMissingError,
  throwIfCancelled,
  TimeLimitError,
} from "@banger/core";
import { hasErrorCode } from "../files/error-code.js";
import { requireHelperSocket } from "./helper-socket.js";
import { readOneLine, type LineProblem } from "./one-line.js";
import {
  PrivilegedAnswerError,
  PrivilegedCutOffError,
} from "./privileged-errors.js";
import {
  endGraceMs,
  mostAnswerBytes,
  parseAnswer,
  type AnswerFrame,
} from "./protocol.js";

/** Pause between two tries to connect, ms. */
const retryMs = 100;

/** How long the helper may take to end a request that nobody wants any more, beyond its own limit for that, ms. */
const closeMarginMs = 2_000;

/**
 * Connects to the root helper of this user's install. A helper that is not there is waited for: it may be about to start again.
 * @param waitMs longest wait, ms
 * @throws PrivilegeMissingError, PrivilegedSocketError, NotRootOwnedError; CancelledError
 */
export async function connectToHelper(
  socketPath: string,
  options: {
    readonly uid: number;
    readonly waitMs: number;
    readonly hint: string;
    readonly signal: AbortSignal;
  },
): Promise<Socket> {
  const { uid, waitMs, hint, signal } = options;
  const giveUpAt = performance.now() + waitMs;
  for (;;) {
    throwIfCancelled(signal, "connecting to the root helper");
    try {
      await requireHelperSocket(socketPath, uid);
      return await connectOnce(socketPath);
    } catch (cause) {
      // EAGAIN: its queue of connections is full.
      const isAbsent = hasErrorCode(cause, "ENOENT", "ECONNREFUSED", "EAGAIN");
      if (!isAbsent && !hasErrorCode(cause, "EACCES")) throw cause;
      if (!isAbsent || performance.now() >= giveUpAt)
        throw new PrivilegeMissingError(
          `the root helper does not answer on ${socketPath}`,
          { hint, cause },
        );
    }
    await sleep(retryMs);
  }
}

/**
 * Sends one request's line and waits for the answer. After an abort the helper is asked to end what it does, and waited for: what the caller
 * removes then is not made behind its back.
 * @throws PrivilegedCutOffError, PrivilegedAnswerError, TimeLimitError; CancelledError
 */
export async function exchange(
  socket: Socket,
  options: {
    readonly name: string;
    readonly line: Buffer;
    readonly limitMs: number;
    readonly signal: AbortSignal;
  },
): Promise<AnswerFrame> {
  const { name, line, limitMs, signal } = options;
  let broken: Error | undefined;
  socket.on("error", (error) => {
    broken = error;
  });
  let closing: NodeJS.Timeout | undefined;
  const onAbort = (): void => {
    socket.end();
    closing = setTimeout(() => {
      socket.destroy();
    }, endGraceMs + closeMarginMs);
  };
  signal.addEventListener("abort", onAbort);
  try {
    socket.write(line);
    if (signal.aborted) onAbort();
    const limits = { mostBytes: mostAnswerBytes, limitMs };
    const read = await readOneLine(socket, limits);
    throwIfCancelled(signal, name);
    if ("problem" in read)
      throw withoutAnswer(read.problem, { name, limitMs, broken });
    const answer = parseAnswer(read.line);
    if (!answer)
      throw new PrivilegedAnswerError(name, "is none that a helper gives");
    return answer;
  } finally {
    signal.removeEventListener("abort", onAbort);
    clearTimeout(closing);
    socket.destroy();
  }
}

function connectOnce(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    // Its own side stays open for the answer when the helper's end comes first.
    const socket = connect({ path, allowHalfOpen: true });
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.off("error", reject);
      resolve(socket);
    });
  });
}

function withoutAnswer(
  problem: LineProblem,
  context: {
    readonly name: string;
    readonly limitMs: number;
    readonly broken: Error | undefined;
  },
): Error {
  const { name, limitMs, broken } = context;
  switch (problem) {
    case "cut-off":
      return new PrivilegedCutOffError(name, broken);
    case "late":
      return new TimeLimitError(name, limitMs);
    case "too-long":
    case "several":
      return new PrivilegedAnswerError(name, "is none that a helper gives");
  }
}
