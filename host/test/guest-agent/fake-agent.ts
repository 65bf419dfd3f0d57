import { createServer, type Server, type Socket } from "node:net";

export interface AgentRequest {
  readonly execute: string;
  readonly arguments?: Record<string, unknown>;
}

/** What the agent writes for a request: bytes, or nothing. */
export type Answer = (
  request: AgentRequest,
  socket: Socket,
) => string | Uint8Array | undefined;

export const delimiter = Buffer.from([0xff]);

export function syncAnswer(id: unknown): Buffer {
  return Buffer.concat([
    delimiter,
    Buffer.from(`${JSON.stringify({ return: id })}\n`),
  ]);
}

/** Answers like the real agent. */
export const wellBehaved: Answer = ({ execute, arguments: args }) => {
  if (execute === "guest-sync-delimited") return syncAnswer(args?.["id"]);
  if (execute === "guest-ping") return '{"return": {}}\n';
  return undefined;
};

/** How a VMM leads to its guest's agent. */
export type Transport = "virtio-serial" | "vsock";

/**
 * An agent behind a unix socket, as a VMM shows it: the bytes of a port at once, or after the line that asks for a vsock port. `answer`
 * may be exchanged while it runs.
 */
export class FakeAgent {
  answer: Answer = wellBehaved;
  /** what a VMM answers to a line that asks for a vsock port */
  connect: (line: string, socket: Socket) => string | Uint8Array | undefined =
    () => "OK 1073741824\n";
  /** lines that asked for a vsock port */
  readonly connects: string[] = [];
  /** commands, in the order in which they came */
  readonly requests: string[] = [];
  /** the same with their arguments */
  readonly asked: AgentRequest[] = [];
  connections = 0;
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;

  constructor(transport: Transport = "virtio-serial") {
    this.#server = createServer((socket) => {
      this.connections++;
      this.#sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => this.#sockets.delete(socket));
      let isConnected = transport === "virtio-serial";
      let text = "";
      socket.on("data", (chunk: Buffer) => {
        text += chunk.toString("latin1");
        const lines = text.split("\n");
        text = lines.pop() ?? "";
        for (const line of lines) {
          if (!isConnected) {
            isConnected = true;
            this.connects.push(line);
            const bytes = this.connect(line, socket);
            if (bytes !== undefined) socket.write(bytes);
            continue;
          }
          const request = JSON.parse(
            line.replaceAll("\u00ff", ""),
          ) as AgentRequest;
          this.requests.push(request.execute);
          this.asked.push(request);
          const bytes = this.answer(request, socket);
          if (bytes !== undefined) socket.write(bytes);
        }
      });
    });
  }

  get openConnections(): number {
    return this.#sockets.size;
  }

  async listen(path: string): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(path, resolve));
  }

  /** Ends every connection, as a VMM that dies. */
  hangUp(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Writes to every connection without being asked. */
  say(bytes: string | Uint8Array): void {
    for (const socket of this.#sockets) socket.write(bytes);
  }

  async close(): Promise<void> {
    this.hangUp();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
