import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import type { Endpoint, Logger } from "@banger/core";
import { frame, TcpFrames } from "./tcp-frames.js";
import type { AnswerMessage, Listener } from "./udp-listener.js";

export interface TcpLimits {
  /** a connection without a complete query for this long is ended, ms */
  readonly idleMs: number;
  /** connections at a time; more are refused */
  readonly connections: number;
}

export const tcpLimits: TcpLimits = { idleMs: 10_000, connections: 64 };

/** Unread replies of one connection, bytes; above it no further query of that connection is answered. */
const mostUnsentBytes = 64 * 1024;

/**
 * Listens and answers any number of queries a connection, in order.
 * @throws the system's error when it cannot listen
 */
export async function listenTcp(
  { host, port }: Endpoint,
  answer: AnswerMessage,
  logger: Logger,
  limits: TcpLimits = tcpLimits,
): Promise<Listener> {
  const connections = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    connections.add(socket);
    socket.once("close", () => connections.delete(socket));
    serve(socket, answer, limits.idleMs);
  });
  server.maxConnections = limits.connections;
  const listening = once(server, "listening");
  server.listen({ host, port, exclusive: true });
  await listening;
  server.on("error", (error) => {
    logger.warn("DNS stream socket reported an error", { error });
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        for (const socket of connections) socket.destroy();
      }),
  };
}

function serve(socket: Socket, answer: AnswerMessage, idleMs: number): void {
  const frames = new TcpFrames();
  // Not `socket.setTimeout`: a byte every now and then would hold the connection for ever.
  const idle = setTimeout(() => socket.destroy(), idleMs);
  const answerAll = (): void => {
    while (!socket.destroyed && !socket.writableEnded) {
      if (socket.writableLength > mostUnsentBytes) {
        // The client asks faster than it reads: what it has sent stays in the kernel until it has caught up.
        socket.pause();
        return;
      }
      const message = frames.take();
      if (message === undefined) break;
      const reply = message === "too-long" ? undefined : answer(message);
      if (!reply) {
        // Replies to what was asked before are still delivered.
        socket.removeAllListeners("data");
        socket.resume();
        socket.destroySoon();
        return;
      }
      idle.refresh();
      socket.write(frame(reply));
    }
    if (socket.isPaused()) socket.resume();
  };
  socket.on("data", (chunk) => {
    frames.push(chunk);
    answerAll();
  });
  socket.on("drain", answerAll);
  // A client that goes away in the middle is its own affair; "close" follows.
  socket.on("error", () => socket.destroy());
  socket.once("close", () => {
    clearTimeout(idle);
  });
}
