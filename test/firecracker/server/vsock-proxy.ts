import { createServer, type Server, type Socket } from "node:net";
import type { Guest } from "./guest.js";

/** The guest's agent listens here; on any other port nobody does. */
const agentVsockPort = 1024;

/** First of the ports that host connections get, as in Firecracker. */
const firstHostPort = 2 ** 30;

/** Longest request for a connection, bytes: `CONNECT 4294967295\n` has 19. */
const longestRequest = 32;

/**
 * The host's side of a vsock device: a socket on which programs ask for connections to ports of the guest. The agent's port is bridged
 * to a stream that carries one connection, so others that were accepted wait, as they wait for the real agent to accept them.
 */
export class VsockProxy {
  readonly #server: Server;
  readonly #early = new Set<() => void>();
  readonly #sockets = new Set<Socket>();
  readonly #queue: Socket[] = [];
  #guest: Guest | undefined;
  #current: Socket | undefined;
  #nextPort = firstHostPort;

  private constructor() {
    this.#server = createServer({ allowHalfOpen: false }, (socket) =>
      this.#accept(socket),
    );
  }

  /** @throws Error EADDRINUSE when there is a file at the path already */
  static async listen(path: string): Promise<VsockProxy> {
    const proxy = new VsockProxy();
    await new Promise<void>((done, reject) => {
      proxy.#server.once("error", reject);
      proxy.#server.listen(path, () => {
        proxy.#server.off("error", reject);
        done();
      });
    });
    return proxy;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((done) => this.#server.close(done));
  }

  /** Answers from now on: earlier connections have waited. */
  attach(guest: Guest): void {
    this.#guest = guest;
    guest.agent.on("data", (chunk: Buffer) => this.#current?.write(chunk));
    guest.on("agent", (open) => {
      if (open) return;
      // The agent has ended, and its connections with it.
      this.#current?.destroy();
      for (const waiting of this.#queue.splice(0)) waiting.destroy();
    });
    for (const answer of this.#early) answer();
    this.#early.clear();
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", () => undefined);
    let text = "";
    const read = (chunk: Buffer): void => {
      text += chunk.toString("latin1");
      const end = text.indexOf("\n");
      if (end < 0 && text.length <= longestRequest) return;
      socket.off("data", read);
      socket.pause();
      const rest = Buffer.from(text.slice(end + 1), "latin1");
      if (rest.length > 0) socket.unshift(rest);
      const port = /^CONNECT (\d+)$/.exec(text.slice(0, Math.max(end, 0)))?.[1];
      const answer = (): void => this.#connect(socket, port);
      if (this.#guest) answer();
      else this.#early.add(answer);
    };
    socket.on("data", read);
  }

  #connect(socket: Socket, port: string | undefined): void {
    if (Number(port) !== agentVsockPort || this.#guest?.agentOpen !== true) {
      socket.destroy();
      return;
    }
    socket.write(`OK ${String(this.#nextPort)}\n`);
    this.#nextPort += 1;
    this.#queue.push(socket);
    socket.on("close", () => {
      const at = this.#queue.indexOf(socket);
      if (at >= 0) this.#queue.splice(at, 1);
      if (this.#current !== socket) return;
      this.#current = undefined;
      this.#serveNext();
    });
    this.#serveNext();
  }

  #serveNext(): void {
    if (this.#current || !this.#guest) return;
    this.#current = this.#queue.shift();
    const { agent } = this.#guest;
    this.#current?.on("data", (chunk: Buffer) => agent.write(chunk));
    this.#current?.resume();
  }
}
