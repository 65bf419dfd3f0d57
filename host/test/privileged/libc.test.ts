import { once } from "node:events";
import { open } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { loadLibc } from "../../src/privileged/libc.js";
import { temporaryDirectory } from "../files/temporary-directory.js";

/** The server's end of a connection. */
async function accepted(listen: string | 0): Promise<Socket> {
  const server = createServer({ pauseOnConnect: true }).listen(listen);
  await once(server, "listening");
  const address = server.address();
  const client =
    typeof address === "string"
      ? connect(address)
      : connect(address?.port ?? 0, "127.0.0.1");
  const [socket] = (await once(server, "connection")) as [Socket];
  onTestFinished(() => {
    client.destroy();
    socket.destroy();
    server.close();
  });
  return socket;
}

it("says who is at the other end of a unix socket", async () => {
  const socket = await accepted(join(await temporaryDirectory(), "socket"));
  const { peerOf } = await loadLibc();
  expect(peerOf(socket)).toEqual({
    pid: process.pid,
    uid: process.getuid?.(),
    gid: process.getgid?.(),
  });
});

it("takes nobody for root: neither at a closed connection nor over a network", async () => {
  const { peerOf } = await loadLibc();
  const closed = await accepted(join(await temporaryDirectory(), "socket"));
  closed.destroy();
  await once(closed, "close");
  expect(() => peerOf(closed)).toThrow(
    expect.objectContaining({ code: "ERR_PEER_UNKNOWN" }),
  );
  // 2^32 - 1 is no uid: chown(2) takes it for "unchanged".
  expect(peerOf(await accepted(0)).uid).toBe(2 ** 32 - 1);
});

it("locks a directory for one who has it open, until it is closed", async () => {
  const directory = await temporaryDirectory();
  const { tryLock } = await loadLibc();
  const [first, second] = [await open(directory), await open(directory)];
  onTestFinished(() => second.close());
  expect(tryLock(first.fd)).toBe(true);
  expect(tryLock(second.fd)).toBe(false);
  await first.close();
  expect(tryLock(second.fd)).toBe(true);
  expect(() => tryLock(1_000_000)).toThrow("errno 9");
});
