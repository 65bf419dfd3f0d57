import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import type { Endpoint, ResolvedName } from "@banger/core";
import { memoryLogger, type MemoryLogger } from "@banger/core/testing";
import { encode, type Answer, type Packet } from "dns-packet";
import { AnswerCache } from "../src/answer-cache.js";
import { Forwarder } from "../src/forwarder.js";
import { guestLimits, Guests, type GuestLimits } from "../src/guests.js";
import { Lookup, type LookupLimits } from "../src/lookup.js";
import { DnsServer } from "../src/server.js";
import { frame, TcpFrames } from "../src/tcp-frames.js";
import { freePort } from "./clients.js";
import { read } from "./messages.js";

/** What a scripted upstream does with a query: the replies it sends, in order. */
export type UpstreamScript = (
  query: Buffer,
  transport: "udp" | "tcp",
) => readonly Buffer[] | Promise<readonly Buffer[]>;

/** A name server that does what a script says, on one port of loopback. */
export class ScriptedUpstream {
  readonly endpoint: Endpoint;
  readonly queries: { readonly bytes: Buffer; readonly transport: string }[] =
    [];
  readonly #close: () => void;

  private constructor(endpoint: Endpoint, close: () => void) {
    this.endpoint = endpoint;
    this.#close = close;
  }

  static async start(
    script: UpstreamScript,
    host = "127.0.0.1",
  ): Promise<ScriptedUpstream> {
    const connections = new Set<Socket>();
    const tcp = createServer((socket) => {
      connections.add(socket);
      socket.on("error", () => undefined);
      const frames = new TcpFrames();
      socket.on("data", (chunk) => {
        frames.push(chunk);
        const bytes = frames.take();
        if (!(bytes instanceof Buffer)) return;
        void answer(bytes, "tcp").then((replies) => {
          for (const reply of replies) socket.write(frame(reply));
        });
      });
    });
    const udp = createSocket("udp4");
    const port = await freePort();
    udp.bind(port, host);
    await once(udp, "listening");
    tcp.listen(port, host);
    await once(tcp, "listening");
    const made = new ScriptedUpstream({ host, port }, () => {
      udp.close();
      tcp.close();
      for (const socket of connections) socket.destroy();
    });
    const answer = async (
      bytes: Buffer,
      transport: "udp" | "tcp",
    ): Promise<readonly Buffer[]> => {
      made.queries.push({ bytes, transport });
      return script(bytes, transport);
    };
    udp.on("message", (bytes, sender) => {
      void answer(bytes, "udp").then((replies) => {
        for (const reply of replies)
          udp.send(reply, sender.port, sender.address);
      });
    });
    return made;
  }

  close(): void {
    this.#close();
  }
}

/** The reply to a query, as dns-packet encodes it. */
export function replyTo(query: Buffer, more: Packet = {}): Buffer {
  const { id, questions = [] } = read(query);
  return encode({
    type: "response",
    id: id ?? 0,
    flags: 0x0180,
    questions,
    ...more,
  });
}

/** The name that a query asks for. */
export function nameIn(query: Buffer): string {
  return read(query).questions?.[0]?.name ?? "";
}

export function address(name: string, data: string, ttl = 60): Answer {
  return { type: "A", name, ttl, data };
}

export const host = "127.0.0.1";

/** A server on a free port, for which 127.0.0.1 is a guest. */
export async function forwarding(
  upstreams: readonly Endpoint[],
  more: {
    readonly guests?: Partial<GuestLimits>;
    readonly lookup?: LookupLimits;
    readonly cache?: AnswerCache;
    readonly mayResolve?: (guestIp: string, name: string) => boolean;
    readonly resolved?: (answer: ResolvedName) => Promise<void>;
  } = {},
): Promise<{
  readonly at: Endpoint;
  readonly server: DnsServer;
  readonly told: ResolvedName[];
  readonly logger: MemoryLogger;
  close(): Promise<void>;
}> {
  const logger = memoryLogger();
  const told: ResolvedName[] = [];
  const guests = new Guests({ ...guestLimits, ...more.guests });
  guests.admit(host);
  const lookup = new Lookup({
    upstreams: { list: async () => upstreams },
    cache: more.cache ?? new AnswerCache(),
    logger,
    ...(more.lookup ? { limits: more.lookup } : {}),
  });
  const forwarder = new Forwarder({
    guests,
    lookup,
    logger,
    egress: {
      mayResolve: more.mayResolve ?? (() => true),
      resolved: async (answer) => {
        told.push(answer);
        await more.resolved?.(answer);
      },
    },
  });
  const listen = { host, port: await freePort() };
  const server = new DnsServer({ listen, ttlSeconds: 5, logger, forwarder });
  await server.publish("web.vm", "172.16.0.2");
  return {
    at: listen,
    server,
    told,
    logger,
    close: async () => {
      lookup.close();
      await server.close();
    },
  };
}
