import type { Endpoint, Logger } from "@banger/core";
import { toListenError } from "./errors.js";
import { listenTcp, tcpLimits, type TcpLimits } from "./tcp-listener.js";
import {
  listenUdp,
  type AnswerMessage,
  type Listener,
} from "./udp-listener.js";

/** With port 0 the kernel chooses for TCP, and UDP may find the same number taken. */
const freePortAttempts = 10;

/**
 * Listens on one port with TCP and UDP, both or none.
 * @param endpoint port 0 takes a free one
 * @throws DnsPortBusyError, DnsListenError
 */
export async function openListeners(
  endpoint: Endpoint,
  answer: AnswerMessage,
  logger: Logger,
  limits: TcpLimits = tcpLimits,
): Promise<Listener> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await openBoth(endpoint, answer, logger, limits);
    } catch (error) {
      if (endpoint.port !== 0 || attempt === freePortAttempts)
        throw toListenError(endpoint, error);
    }
  }
}

async function openBoth(
  endpoint: Endpoint,
  answer: AnswerMessage,
  logger: Logger,
  limits: TcpLimits,
): Promise<Listener> {
  const tcp = await listenTcp(endpoint, answer, logger, limits);
  try {
    const same = { host: endpoint.host, port: tcp.port };
    const udp = await listenUdp(same, answer, logger);
    return {
      port: tcp.port,
      close: async () => {
        await Promise.all([tcp.close(), udp.close()]);
      },
    };
  } catch (error) {
    await tcp.close();
    throw error;
  }
}
