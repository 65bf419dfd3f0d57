import { connect, type Socket } from "node:net";
import { CancelledError, throwIfCancelled } from "@banger/core";
import {
  openSocketAddress,
  type SocketAddress,
} from "../files/socket-address.js";
import { AgentConnectionError } from "./agent-errors.js";

/**
 * Connects to a unix socket, or to the one in a jail that a link of ours leads to.
 * @throws {@link AgentConnectionError} when nobody listens there, CancelledError after `signal`
 */
export async function connectUnixSocket(
  path: string,
  signal: AbortSignal,
): Promise<Socket> {
  throwIfCancelled(signal, "connecting");
  let address: SocketAddress;
  try {
    address = await openSocketAddress(path);
  } catch (cause) {
    throw new AgentConnectionError(`nobody listens on ${path}`, { cause });
  }
  try {
    return await connectTo(address.path, path, signal);
  } finally {
    await address.close();
  }
}

/** @param name as errors name it */
function connectTo(
  path: string,
  name: string,
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
      reject(new AgentConnectionError(`nobody listens on ${name}`, { cause }));
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
