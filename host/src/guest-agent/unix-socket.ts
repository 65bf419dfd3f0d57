import { connect, type Socket } from "node:net";
import { CancelledError } from "@banger/core";
import { AgentConnectionError } from "./agent-errors.js";

/**
 * Connects to a unix socket.
 * @throws {@link AgentConnectionError} when nobody listens there, CancelledError after `signal`
 */
export function connectUnixSocket(
  path: string,
  signal: AbortSignal,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(new CancelledError("connecting", signal.reason));
      return;
    }
    const socket = connect({ path });
    const settle = (): void => {
      signal.removeEventListener("abort", onAbort);
      socket.off("connect", onConnect);
      socket.off("error", onError);
    };
    const onConnect = (): void => {
      settle();
      resolve(socket);
    };
    const onError = (cause: Error): void => {
      settle();
      reject(new AgentConnectionError(`nobody listens on ${path}`, { cause }));
    };
    const onAbort = (): void => {
      settle();
      socket.on("error", () => undefined);
      socket.destroy();
      reject(new CancelledError("connecting", signal.reason));
    };
    socket.on("connect", onConnect);
    socket.on("error", onError);
    signal.addEventListener("abort", onAbort);
  });
}
