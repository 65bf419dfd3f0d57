import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import type { Endpoint, Logger } from "@banger/core";
import type { Client } from "./answering.js";
import { frame, TcpFrames } from "./tcp-frames.js";
import type { AnswerMessage, Listener } from "./udp-listener.js";

export interface TcpLimits {
  /** a connection without a complete query for this long is ended, ms */
  readonly idleMs: number;
  /** connections at a time; more are refused */
  readonly connections: number;
  /** connections at a time from one address that is not this host's own; more are refused */
  readonly perAddress: number;
}

export const tcpLimits: TcpLimits = {
  idleMs: 10_000,
  connections: 64,
  perAddress: 8,
};

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
    const address = socket.remoteAddress ?? "";
    const isFull =
      !address.startsWith("127.") &&
      from(connections, address) >= limits.perAddress;
    // Gone already, or one of those that would leave nothing for the others.
    if (address === "" || isFull) {
      socket.destroy();
      return;
    }
    connections.add(socket);
    socket.once("close", () => connections.delete(socket));
    serve(socket, { address, transport: "tcp" }, answer, limits.idleMs);
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

function from(connections: ReadonlySet<Socket>, address: string): number {
  let count = 0;
  for (const socket of connections)
    if (socket.remoteAddress === address) count++;
  return count;
}

function serve(
  socket: Socket,
  client: Client,
  answer: AnswerMessage,
  idleMs: number,
): void {
  const frames = new TcpFrames();
  // Not `socket.setTimeout`: a byte every now and then would hold the connection for ever.
  const idle = setTimeout(() => socket.destroy(), idleMs);
  let waiting = false;
  const isOver = (): boolean => socket.destroyed || socket.writableEnded;
  /** @returns may the next one be answered? */
  const send = (reply: Buffer | undefined): boolean => {
    if (isOver()) return false;
    if (!reply) {
      // Replies to what was asked before are still delivered.
      socket.removeAllListeners("data");
      socket.resume();
      socket.destroySoon();
      return false;
    }
    idle.refresh();
    socket.write(frame(reply));
    return true;
  };
  const answerAll = (): void => {
    while (!isOver()) {
      if (waiting || socket.writableLength > mostUnsentBytes) {
        // The client asks faster than it is answered or reads: what it has sent stays in the kernel until then.
        socket.pause();
        return;
      }
      const message = frames.take();
      if (message === undefined) break;
      idle.refresh();
      const reply =
        message === "too-long" ? undefined : answer(message, client);
      if (reply instanceof Promise) {
        waiting = true;
        void reply.then((known) => {
          waiting = false;
          if (send(known)) answerAll();
        });
      } else if (!send(reply)) return;
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
