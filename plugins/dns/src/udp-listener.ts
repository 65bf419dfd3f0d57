import { createSocket } from "node:dgram";
import { once } from "node:events";
import type { Endpoint, Logger } from "@banger/core";

/** Bytes of one message in, bytes of the reply out; `undefined` when none is due. */
export type AnswerMessage = (message: Uint8Array) => Buffer | undefined;

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
  const socket = createSocket("udp4");
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
  socket.on("message", (message, sender) => {
    // Port 0 cannot be answered, and `send` would throw.
    if (sender.port === 0) return;
    const reply = answer(message);
    if (!reply) return;
    socket.send(reply, sender.port, sender.address, (error) => {
      if (error) logger.debug("DNS reply could not be sent", { error });
    });
  });
  return {
    port: socket.address().port,
    close: () =>
      new Promise((resolve) => {
        socket.close(resolve);
      }),
  };
}
