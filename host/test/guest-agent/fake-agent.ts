import { createServer, type Server, type Socket } from "node:net";

interface AgentRequest {
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

/** An agent behind a unix socket, as QEMU shows it. `answer` may be exchanged while it runs. */
export class FakeAgent {
  answer: Answer = wellBehaved;
  readonly requests: string[] = [];
  connections = 0;
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;

  constructor() {
    this.#server = createServer((socket) => {
      this.connections++;
      this.#sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => this.#sockets.delete(socket));
      let text = "";
      socket.on("data", (chunk: Buffer) => {
        text += chunk.toString("latin1");
        const lines = text.split("\n");
        text = lines.pop() ?? "";
        for (const line of lines) {
          const request = JSON.parse(
            line.replaceAll("\u00ff", ""),
          ) as AgentRequest;
          this.requests.push(request.execute);
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
