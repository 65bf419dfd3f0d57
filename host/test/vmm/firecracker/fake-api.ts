import { createServer as createHttpServer } from "node:http";
import { createServer, type Server, type Socket } from "node:net";
import { onTestFinished } from "vitest";
import { temporaryDirectory } from "../../files/temporary-directory.js";

/** What a client sent. */
export interface ReceivedRequest {
  readonly method: string | undefined;
  readonly path: string | undefined;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

async function listening(server: Server): Promise<string> {
  const path = `${await temporaryDirectory()}/api.sock`;
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return path;
}

/** An HTTP server on a socket of its own that keeps what it gets; 204 unless `answer` says otherwise. */
export async function fakeApi(
  answer: (
    request: ReceivedRequest,
  ) => { status: number; body: string } | undefined = () => undefined,
): Promise<{ socketPath: string; received: ReceivedRequest[] }> {
  const received: ReceivedRequest[] = [];
  const server = createHttpServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on("data", (piece: Buffer) => pieces.push(piece));
    request.on("end", () => {
      const { method, url: path, headers } = request;
      const body = Buffer.concat(pieces).toString();
      const got = { method, path, headers, body };
      received.push(got);
      const reply = answer(got);
      response.statusCode = reply?.status ?? 204;
      response.end(reply?.body);
    });
  });
  const socketPath = await listening(server);
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { socketPath, received };
}

/** A server that plays each connection itself, once the whole request has come. */
export async function rawApi(
  serve: (socket: Socket, request: string) => void,
): Promise<{ socketPath: string; connections: () => number }> {
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = createServer((socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    // A client that has seen enough hangs up in the middle of anything.
    socket.on("error", () => undefined);
    let request = "";
    socket.on("data", (piece: Buffer) => {
      request += piece.toString("latin1");
      if (isWhole(request)) serve(socket, request);
    });
  });
  const socketPath = await listening(server);
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { socketPath, connections: () => connections };
}

function isWhole(request: string): boolean {
  const end = request.indexOf("\r\n\r\n");
  if (end < 0) return false;
  const length = /content-length: (\d+)/i.exec(request)?.[1] ?? "0";
  return request.length >= end + 4 + Number(length);
}

/** An answer as Firecracker's HTTP server writes it: no reason phrase, and no length where there is no body. */
export function firecrackerReply(status: number, body?: string): string {
  const head = `HTTP/1.1 ${String(status)} \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n`;
  return body === undefined
    ? `${head}\r\n`
    : `${head}Content-Type: application/json\r\nContent-Length: ${String(Buffer.byteLength(body))}\r\n\r\n${body}`;
}
