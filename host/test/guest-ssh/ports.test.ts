import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable, type Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { VmRecord } from "@banger/core";
import { afterEach, beforeEach, expect, it, onTestFinished, vi } from "vitest";
import { Ssh2GuestSsh } from "../../src/guest-ssh/ssh2-guest-ssh.js";
import { sshLimits, type SshLimits } from "../../src/guest-ssh/ssh-limits.js";
import { FileGuestKeys } from "../../src/keys/file-guest-keys.js";
import { FakeGuest } from "./fake-guest.js";
import { fakeVm, silentLogger } from "./fixtures.js";
import { readAll } from "./reading.js";

const never = new AbortController().signal;

let home: string;
let keys: FileGuestKeys;
let guest: FakeGuest;
let vm: VmRecord;
let ssh: Ssh2GuestSsh;

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "banger-ports-"));
  const sshDirectory = join(home, "ssh");
  keys = new FileGuestKeys({ sshDirectory, logger: silentLogger });
  const places = { directory: join(home, "vm") };
  guest = new FakeGuest((await keys.hostKey(fakeVm(places))).privateKey);
  vm = fakeVm({ ...places, ssh: await guest.listen() });
  ssh = makeSsh();
});
afterEach(async () => {
  await ssh.close();
  await guest.close();
  await rm(home, { recursive: true });
});

function makeSsh(changes: Partial<SshLimits> = {}): Ssh2GuestSsh {
  const limits = { ...sshLimits, retryPausesMs: [5, 10], ...changes };
  return new Ssh2GuestSsh({ guestKeys: keys, logger: silentLogger }, limits);
}

/** A program of the guest on a port of its loopback address. */
async function serve(
  talk: (socket: Socket) => void,
  host = "127.0.0.1",
): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => undefined);
    talk(socket);
  });
  server.listen(0, host);
  await once(server, "listening");
  onTestFinished(() => void server.close());
  return (server.address() as AddressInfo).port;
}
const open = (port: number, signal = never): Promise<Duplex> =>
  ssh.openPort(vm, port, signal);
const failure = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => "no error",
    (error: unknown) => error,
  );

/** Reads to the end of the other side's half and leaves the stream open. */
async function readHalf(stream: Duplex): Promise<string> {
  let text = "";
  stream.on("data", (chunk: Buffer) => (text += chunk.toString()));
  await once(stream, "end");
  return text;
}

it("carries bytes both ways over the kept connection", async () => {
  const port = await serve((socket) => socket.pipe(socket));
  await ssh.connect(vm, never);
  const stream = await open(port);
  stream.end("hello");
  expect(await readAll(stream)).toBe("hello");
  await vi.waitFor(() => expect(stream.destroyed).toBe(true));
  expect(guest.connections).toBe(1);
});

it("lets the host end its half first", async () => {
  const port = await serve((socket) => {
    void readHalf(socket).then((text) => socket.end(`got ${text}`));
  });
  const stream = await open(port);
  stream.end("all");
  expect(await readAll(stream)).toBe("got all");
});

it("lets the guest end its half first", async () => {
  let text: Promise<string> | undefined;
  const port = await serve((socket) => {
    text = readHalf(socket);
    socket.end("bye");
  });
  const stream = await open(port);
  expect(await readHalf(stream)).toBe("bye");
  expect(stream.writable).toBe(true);
  stream.end("still here");
  expect(await text).toBe("still here");
  await vi.waitFor(() => expect(stream.destroyed).toBe(true));
});

it("reaches a program on the guest's IPv6 loopback address only", async () => {
  const port = await serve((socket) => socket.end("six"), "::1");
  expect(await readAll(await open(port))).toBe("six");
  expect(guest.ports).toEqual([`127.0.0.1 ${port}`, `::1 ${port}`]);
});

it("says that nothing listens, and keeps the connection", async () => {
  const port = await serve(() => undefined);
  expect(await failure(open(1))).toMatchObject({
    code: "ERR_GUEST_CONNECTION",
    message: "SSH to box: nothing takes a connection to port 1",
  });
  (await open(port)).destroy();
  expect(guest.connections).toBe(1);
});

it("gives up at the limit, and at once when cancelled", async () => {
  guest.portsHang = true;
  ssh = makeSsh({ portTimeoutMs: 50 });
  expect(await failure(open(80))).toMatchObject({
    code: "ERR_GUEST_CONNECTION",
    message: "SSH to box: no connection to port 80 within 0.05 s",
  });
  const cancel = new AbortController();
  ssh = makeSsh();
  const opening = failure(open(80, cancel.signal));
  await vi.waitFor(() => expect(guest.ports).toHaveLength(2));
  cancel.abort();
  expect(await opening).toMatchObject({ code: "ERR_CANCELLED" });
});

it("waits for a place among those that are open", async () => {
  ssh = makeSsh({ maxPorts: 1, portTimeoutMs: 10_000 });
  const port = await serve((socket) => socket.pipe(socket));
  const first = await open(port);
  const second = open(port);
  first.end();
  first.resume();
  (await second).destroy();
  expect(guest.ports).toHaveLength(2);
});

it("opens a new connection when the kept one was dead", async () => {
  const port = await serve((socket) => socket.end("again"));
  await ssh.connect(vm, never);
  guest.cutConnections();
  expect(await readAll(await open(port))).toBe("again");
  expect(guest.connections).toBe(2);
});

it("never takes a lost connection for the end of the bytes", async () => {
  const port = await serve((socket) => socket.write("half of it"));
  const stream = await open(port);
  const chunks = stream[Symbol.asyncIterator]();
  expect(String((await chunks.next()).value)).toBe("half of it");
  guest.cutConnections();
  expect(await failure(chunks.next())).toMatchObject({
    code: "ERR_GUEST_CONNECTION",
  });
});

it("carries 50 MB past a slow reader in bounded memory, unchanged", async () => {
  const port = await serve((socket) => socket.pipe(socket));
  const total = 50 * (1 << 20);
  let sent = 0;
  const source = new Readable({
    read() {
      if (sent >= total) this.push(null);
      else {
        this.push(Buffer.alloc(1 << 16, (sent >> 16) & 255));
        sent += 1 << 16;
      }
    },
  });
  const stream = await open(port);
  const writing = pipeline(source, stream, { end: true }).catch(
    () => undefined,
  );
  // Nobody reads: what was taken from the source is what all buffers on the way hold.
  let before = -1;
  while (before !== sent) {
    before = sent;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  expect(sent).toBeLessThan(20 * (1 << 20));
  let received = 0;
  for await (const chunk of stream) {
    for (const byte of chunk as Buffer) {
      if (byte !== ((received >> 16) & 255)) expect.fail(`at ${received}`);
      received++;
    }
  }
  await writing;
  expect(received).toBe(total);
}, 60_000);

it("ends in the guest when the host's side is destroyed", async () => {
  const closed = vi.fn();
  const port = await serve((socket) => {
    socket.resume().on("close", closed);
    socket.on("end", () => socket.end());
  });
  (await open(port)).destroy();
  await vi.waitFor(() => expect(closed).toHaveBeenCalledTimes(1));
});

it("gives its place back when the host leaves in the middle of the guest's bytes", async () => {
  ssh = makeSsh({ maxPorts: 1, portTimeoutMs: 4_000 });
  const port = await serve((socket) => {
    const more = (): void => {
      while (!socket.destroyed && socket.write(Buffer.alloc(1 << 20)));
    };
    socket.on("drain", more);
    more();
  });
  const stream = await open(port);
  stream.read(0);
  // Nobody reads: more than the stream holds is on its way.
  await vi.waitFor(() =>
    expect(stream.readableLength).toBeGreaterThanOrEqual(
      stream.readableHighWaterMark,
    ),
  );
  stream.destroy();
  (await open(port)).destroy();
});

it("fails, and ends nothing else, when the guest breaks the protocol before anybody has the stream", async () => {
  guest.portsBreak = true;
  const stream = await open(80);
  expect(stream.destroyed).toBe(true);
  expect(stream.errored).toMatchObject({ code: "ERR_GUEST_CONNECTION" });
});
