import { randomInt } from "node:crypto";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { Endpoint } from "@banger/core";
import { memoryLogger } from "@banger/core/testing";
import { DnsServer } from "../src/server.js";
import { frame, TcpFrames } from "../src/tcp-frames.js";

/** Sends a datagram, again every now and then as resolvers do, and waits for one back. */
export async function askUdp(to: Endpoint, query: Buffer): Promise<Buffer> {
  const socket = createSocket("udp4");
  let again: NodeJS.Timeout | undefined;
  try {
    const reply = once(socket, "message");
    socket.send(query, to.port, to.host);
    again = setInterval(() => {
      socket.send(query, to.port, to.host);
    }, 500);
    const [bytes] = (await reply) as [Buffer];
    return bytes;
  } finally {
    clearInterval(again);
    socket.close();
  }
}

/** A TCP connection that collects replies. */
export class TcpClient {
  readonly socket: Socket;
  /** complete replies, in the order of arrival */
  readonly replies: Buffer[] = [];
  readonly closed: Promise<unknown>;
  readonly #frames = new TcpFrames(65_535);

  constructor(to: Endpoint) {
    this.socket = connect({ ...to, noDelay: true });
    this.socket.on("error", () => undefined);
    this.closed = once(this.socket, "close").catch(() => undefined);
    this.socket.on("data", (chunk) => {
      this.#frames.push(chunk);
      for (let next; (next = this.#frames.take()) instanceof Buffer;)
        this.replies.push(next);
      this.socket.emit("replies");
    });
  }

  /** Writes the bytes in pieces that arrive one by one. */
  async send(bytes: Buffer, pieceBytes = bytes.length): Promise<void> {
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      this.socket.write(bytes.subarray(at, at + pieceBytes));
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  async until(count: number): Promise<readonly Buffer[]> {
    while (this.replies.length < count) await once(this.socket, "replies");
    return this.replies;
  }
}

export function frames(...queries: readonly Buffer[]): Buffer {
  return Buffer.concat(queries.map(frame));
}

/** A port that another program has, for UDP. */
export async function occupyUdp(
  wanted?: number,
): Promise<{ port: number; release: () => Promise<void> }> {
  const port = wanted ?? (await freePort());
  const socket = createSocket("udp4");
  socket.bind(port, "127.0.0.1");
  await once(socket, "listening");
  return {
    port,
    release: async () => {
      const closed = once(socket, "close");
      socket.close();
      await closed;
    },
  };
}

/**
 * A port that nobody has, for UDP and TCP. Not one of those that the kernel gives to clients (from 32768 on): a connection that
 * another test has closed a minute ago may still be in TIME-WAIT there, and then nobody can listen.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const listen = { host: "127.0.0.1", port: randomInt(20_000, 32_000) };
    const logger = memoryLogger();
    const server = new DnsServer({ listen, ttlSeconds: 5, logger });
    if ((await server.probe()) === undefined) return listen.port;
  }
}
