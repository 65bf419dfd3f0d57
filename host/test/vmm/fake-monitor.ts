import { createServer, type Socket } from "node:net";
import { onTestFinished } from "vitest";
import { temporaryDirectory } from "../files/temporary-directory.js";

export const greeting = `{"QMP": {"version": {}, "capabilities": []}}\r\n`;

/** A QEMU monitor on a socket of its own; `serve` plays one connection. */
export async function fakeMonitor(
  serve: (socket: Socket) => void,
): Promise<string> {
  const path = `${await temporaryDirectory()}/qmp.sock`;
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    // A client that has seen enough hangs up in the middle of anything.
    socket.on("error", () => undefined);
    serve(socket);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return path;
}

/** Calls `answer` with each command of the client. */
export function eachCommand(
  socket: Socket,
  answer: (command: string) => void,
): void {
  let pending = "";
  socket.on("data", (chunk: Buffer) => {
    const lines = (pending + chunk.toString()).split("\n");
    pending = lines.pop() ?? "";
    for (const line of lines)
      answer((JSON.parse(line) as { execute: string }).execute);
  });
}
