import { mkdir } from "node:fs/promises";
import {
  createServer,
  type IncomingMessage,
  type ServerResponse,
} from "node:http";
import type { Duplex } from "node:stream";
import { dirname } from "node:path";
import { resolvePaths } from "@banger/host/client";
import { onTestFinished } from "vitest";

export interface FakeRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: unknown;
}

type Handler = (
  request: FakeRequest,
  response: ServerResponse,
) => void | Promise<void>;

/** What a path answers: JSON, or whatever a handler does. Keys are `METHOD path`, without the query. */
export type Answers = Record<string, unknown>;

/** A daemon on the socket of a `BANGER_HOME` that records what it is asked. */
export async function startFakeDaemon(
  home: string,
  answers: Answers,
  onStream?: (socket: Duplex, request: IncomingMessage) => void,
  refuseUpgrade?: (request: IncomingMessage) => object | undefined,
): Promise<{ socketPath: string; requests: FakeRequest[] }> {
  const socketPath = resolvePaths({ BANGER_HOME: home }).daemonSocket;
  await mkdir(dirname(socketPath), { recursive: true });
  const requests: FakeRequest[] = [];
  const server = createServer((incoming, response) => {
    void (async () => {
      let text = "";
      for await (const chunk of incoming as AsyncIterable<Buffer>)
        text += chunk.toString();
      const { method = "", url = "", headers } = incoming;
      const request: FakeRequest = {
        ...{ method, url, headers },
        body: text === "" ? undefined : JSON.parse(text),
      };
      requests.push(request);
      const answer = answers[`${method} ${url.split("?")[0] ?? ""}`];
      if (typeof answer === "function")
        return (answer as Handler)(request, response);
      response.statusCode = answer === undefined ? 404 : 200;
      response.end(
        JSON.stringify(
          answer ?? {
            code: "ERR_ROUTE_NOT_FOUND",
            kind: "not-found",
            message: `nothing at ${method} ${url}`,
          },
        ),
      );
    })();
  });
  server.on("upgrade", (request, socket) => {
    socket.on("error", () => undefined);
    const report = refuseUpgrade?.(request);
    if (report) {
      const body = JSON.stringify(report);
      socket.end(
        `HTTP/1.1 409 Refused\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
      );
      return;
    }
    socket.write(
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: banger-stream-v1\r\n\r\n",
    );
    onStream?.(socket, request);
  });
  await new Promise<void>((done) => server.listen(socketPath, done));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { socketPath, requests };
}

/** An operation's stream of these events. */
export function operation(...events: readonly unknown[]): Handler {
  return (_request, response) => {
    response.end(events.map((event) => `${JSON.stringify(event)}\n`).join(""));
  };
}

/** A refusal. */
export function refusal(status: number, report: object): Handler {
  return (_request, response) => {
    response.statusCode = status;
    response.end(JSON.stringify(report));
  };
}
