import { createSocket } from "node:dgram";
import { once } from "node:events";
import type { Endpoint, Logger } from "@banger/core";
import type { Client } from "./answering.js";

/** Bytes of one message in, bytes of the reply out; `undefined` when none is due. Never throws or rejects. */
export type AnswerMessage = (
  message: Buffer,
  client: Client,
) => Buffer | undefined | Promise<Buffer | undefined>;

/** A socket that answers. */
export interface Listener {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * Binds and answers datagrams.
 * @throws the system's error when it cannot bind; nothing is left open then
 */
export async function listenUdp(
  { host, port }: Endpoint,
  answer: AnswerMessage,
  logger: Logger,
): Promise<Listener> {
  // Whoever is answered has an address and no name, so there is nothing to wait for: half of what a reply costs.
  const socket = createSocket({
    type: "udp4",
    lookup: (address, _options, found) => {
      found(null, address, 4);
    },
  });
  const bound = once(socket, "listening");
  socket.bind({ address: host, port, exclusive: true });
  try {
    await bound;
  } catch (error) {
    socket.close();
    throw error;
  }
  socket.on("error", (error) => {
    logger.warn("DNS datagram socket reported an error", { error });
  });
  let closed = false;
  const noteFailure = (error: Error | null): void => {
    if (error) logger.debug("DNS reply could not be sent", { error });
  };
  socket.on("message", (message, sender) => {
    // Port 0 cannot be answered, and `send` would throw.
    if (sender.port === 0) return;
    const send = (reply: Buffer | undefined): void => {
      if (reply && !closed)
        socket.send(reply, sender.port, sender.address, noteFailure);
    };
    const client: Client = { address: sender.address, transport: "udp" };
    const reply = answer(message, client);
    if (reply instanceof Promise) void reply.then(send);
    else send(reply);
  });
  return {
    port: socket.address().port,
    close: () =>
      new Promise((resolve) => {
        closed = true;
        socket.close(resolve);
      }),
  };
}
