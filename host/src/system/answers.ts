import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { hasErrorCode } from "../files/error-code.js";

const pollMs = 50;
/** Longest wait for one connection, ms: accepting takes none. */
const connectMs = 1_000;

/** Whether somebody listens at a socket; `closed` to this process. */
export type SocketState = "answers" | "silent" | "closed";

/** Tries a connection, and ends it. */
export function socketState(path: string): Promise<SocketState> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const end = (state: SocketState): void => {
      socket.destroy();
      resolve(state);
    };
    socket.setTimeout(connectMs, () => {
      end("silent");
    });
    socket.once("connect", () => {
      end("answers");
    });
    socket.once("error", (error) => {
      end(hasErrorCode(error, "EACCES", "EPERM") ? "closed" : "silent");
    });
  });
}

/** Waits until somebody listens. @returns false when nobody did in time */
export async function waitForAnswer(
  path: string,
  limitMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  const deadline = performance.now() + limitMs;
  while ((await socketState(path)) !== "answers") {
    signal.throwIfAborted();
    if (performance.now() > deadline) return false;
    await sleep(pollMs);
  }
  return true;
}
