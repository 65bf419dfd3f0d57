import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { Duplex, PassThrough } from "node:stream";
import {
  GuestConnectionError,
  type GuestSsh,
  type PortForward,
} from "@banger/core";
import { fakeVm, fakeVmId, memoryLogger } from "@banger/core/testing";
import {
  afterEach,
  beforeEach,
  describe,
  expect,
  it,
  onTestFinished,
  vi,
} from "vitest";
import { TcpPortForwards } from "../../src/port-forwards/tcp-port-forwards.js";

const never = new AbortController().signal;
const vm = fakeVm({ state: "running" });

/** The guest's ends of the connections, in order; what the test does with them is up to it. */
let guestEnds: Duplex[];
let asked: { port: number; signal: AbortSignal }[];
let refuses: boolean;
let forwards: TcpPortForwards;

beforeEach(() => {
  guestEnds = [];
  asked = [];
  refuses = false;
  const guestSsh: Pick<GuestSsh, "openPort"> = {
    openPort: async (_vm, port, signal) => {
      asked.push({ port, signal });
      if (refuses) throw new GuestConnectionError("x", "nobody listens");
      const [host, guest] = await pair();
      guestEnds.push(guest);
      return host;
    },
  };
  forwards = new TcpPortForwards({ guestSsh, logger: memoryLogger() });
});
afterEach(() => forwards.dispose());

/** Two connected sockets. */
async function pair(): Promise<[Socket, Socket]> {
  const server = createServer({ allowHalfOpen: true });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const one = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  const [[other]] = (await Promise.all([
    once(server, "connection"),
    once(one, "connect"),
  ])) as [[Socket], unknown];
  server.close();
  for (const socket of [one, other]) socket.on("error", () => undefined);
  onTestFinished(() => {
    one.destroy();
    other.destroy();
  });
  return [one, other];
}

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
const forwardTo = async (guestPort = 80): Promise<PortForward> => ({
  address: "127.0.0.1",
  port: await freePort(),
  guestPort,
});
function client({ address, port }: PortForward): Socket {
  const socket = connect({ host: address, port, allowHalfOpen: true });
  socket.on("error", () => undefined);
  onTestFinished(() => void socket.destroy());
  return socket;
}
async function guestEnd(number = 0): Promise<Duplex> {
  await vi.waitFor(() => expect(guestEnds.length).toBeGreaterThan(number));
  return guestEnds[number]!;
}
/** Closed in any way. */
function closed(socket: Duplex): Promise<void> {
  return new Promise((resolve) => void socket.resume().on("close", resolve));
}
async function readHalf(stream: Duplex): Promise<string> {
  let text = "";
  stream.on("data", (chunk: Buffer) => (text += chunk.toString()));
  await once(stream, "end");
  return text;
}
const failure = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => "no error",
    (error: unknown) => error,
  );

describe("a forwarded port", () => {
  it("carries bytes both ways, and each side may end first", async () => {
    const forward = await forwardTo(8080);
    await forwards.open(vm, forward);
    expect(forwards.listening(vm)).toEqual([forward]);

    const first = client(forward);
    const guest = await guestEnd();
    first.end("question");
    expect(await readHalf(guest)).toBe("question");
    guest.end("answer");
    expect(await readHalf(first)).toBe("answer");
    expect(asked[0]?.port).toBe(8080);

    const second = client(forward);
    const other = await guestEnd(1);
    other.end("hello");
    expect(await readHalf(second)).toBe("hello");
    second.end("thanks");
    expect(await readHalf(other)).toBe("thanks");
  });

  it("carries many megabytes unchanged past a slow reader", async () => {
    const forward = await forwardTo();
    await forwards.open(vm, forward);
    const socket = client(forward);
    const guest = await guestEnd();
    const block = Buffer.from(
      Array.from({ length: 65_521 }, (_, i) => i & 255),
    );
    let sent = 0;
    const more = (): void => {
      while (sent < 400 && guest.write(block)) sent++;
      if (sent < 400) {
        sent++;
        guest.once("drain", more);
      } else guest.end();
    };
    more();
    // Nobody reads: what all buffers on the way hold is bounded.
    let before = -1;
    while (before !== sent) {
      before = sent;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    expect(sent).toBeLessThan(400);
    let received = 0;
    for await (const chunk of socket) {
      for (const byte of chunk as Buffer)
        if (byte !== ((received++ % block.length) & 255))
          expect.fail(`at ${received}`);
    }
    expect(received).toBe(400 * block.length);
  }, 30_000);

  it("is reset, and never ended in order, when the guest's side breaks or refuses", async () => {
    const forward = await forwardTo();
    const broken = new PassThrough();
    const guestSsh = { openPort: () => Promise.resolve(broken) };
    const others = new TcpPortForwards({ guestSsh, logger: memoryLogger() });
    onTestFinished(() => others.dispose());
    await others.open(vm, forward);
    const socket = client(forward);
    socket.write("x");
    await once(socket, "data");
    const reset = once(socket, "error");
    broken.destroy(new GuestConnectionError("x", "lost"));
    expect((await reset)[0]).toMatchObject({ code: "ECONNRESET" });

    refuses = true;
    const refused = await forwardTo();
    await forwards.open(vm, refused);
    const [error] = (await once(client(refused).resume(), "error")) as [Error];
    expect(error).toMatchObject({ code: "ECONNRESET" });
    expect(forwards.listening(vm)).toEqual([refused]);
  });

  it("is reset when the guest's side was lost before it was handed over", async () => {
    const lost = new PassThrough();
    const gone = closed(lost.on("error", () => undefined));
    lost.destroy(new GuestConnectionError("x", "lost"));
    await gone;
    const guestSsh = { openPort: () => Promise.resolve(lost) };
    const others = new TcpPortForwards({ guestSsh, logger: memoryLogger() });
    onTestFinished(() => others.dispose());
    const forward = await forwardTo();
    await others.open(vm, forward);
    const [error] = (await once(client(forward).resume(), "error")) as [Error];
    expect(error).toMatchObject({ code: "ECONNRESET" });
  });

  it("tells the guest when its client breaks off", async () => {
    const forward = await forwardTo();
    await forwards.open(vm, forward);
    const socket = client(forward);
    const guest = await guestEnd();
    const ended = once(guest.resume(), "end");
    socket.resetAndDestroy();
    await ended;
  });

  it("serves no more connections at a time than the bound", async () => {
    const forward = await forwardTo();
    await forwards.open(vm, forward);
    const sockets = Array.from({ length: 260 }, () => client(forward).resume());
    const turnedAway = sockets.map((socket) => once(socket, "end"));
    await Promise.race(turnedAway);
    await vi.waitFor(() => expect(asked).toHaveLength(256));
    for (const socket of sockets) socket.resetAndDestroy();
    // The server learns of them one by one.
    await vi.waitFor(async () => {
      const fresh = client(forward);
      fresh.end("x");
      await Promise.race([
        once(fresh.resume(), "end").then(() => expect.fail("turned away")),
        vi.waitFor(() => expect(asked.length).toBeGreaterThan(256)),
      ]);
    });
  }, 20_000);
});

describe("opening", () => {
  it("twice is fine, and to another port of the guest is not", async () => {
    const forward = await forwardTo();
    await forwards.open(vm, forward);
    await forwards.open(vm, forward);
    const other = failure(forwards.open(vm, { ...forward, guestPort: 81 }));
    expect(await other).toMatchObject({ code: "ERR_PORT_FORWARDED" });
    expect(forwards.listening(vm)).toEqual([forward]);
  });

  it("again while it is being closed listens anew", async () => {
    const forward = await forwardTo();
    await forwards.open(vm, forward);
    client(forward);
    await guestEnd();
    const closing = forwards.close(vm, forward);
    await forwards.open(vm, forward);
    await closing;
    expect(forwards.listening(vm)).toEqual([forward]);
    client(forward);
    await guestEnd(1);
  });

  it("says why a port cannot be had, and forgets it", async () => {
    const taken = await forwardTo();
    const neighbour = fakeVm({ id: fakeVmId(2) });
    await forwards.open(neighbour, taken);
    expect(await failure(forwards.open(vm, taken))).toMatchObject({
      code: "ERR_PORT_UNAVAILABLE",
      message: `127.0.0.1:${taken.port} is in use by another program`,
      hint: expect.stringContaining(`sport = :${taken.port}`) as string,
    });
    const elsewhere = { ...taken, address: "192.0.2.1" };
    expect(await failure(forwards.open(vm, elsewhere))).toMatchObject({
      code: "ERR_PORT_UNAVAILABLE",
      message: `192.0.2.1:${taken.port} is not an address of this host`,
      hint: expect.stringContaining("--address") as string,
    });
    expect(forwards.listening(vm)).toEqual([]);
    await forwards.close(neighbour, taken);
    await forwards.open(vm, taken);
  });
});

describe("closing", () => {
  it("ends listening and connections, and is idempotent", async () => {
    const [one, two] = [await forwardTo(1), await forwardTo(2)];
    await forwards.open(vm, one);
    await forwards.open(vm, two);
    const socket = client(one);
    const guest = await guestEnd();
    const ended = forwards.ended(vm, one, never);
    const all = Promise.all([closed(socket), closed(guest), ended]);
    await forwards.close(vm, one);
    await all;
    expect(forwards.listening(vm)).toEqual([two]);
    const [error] = (await once(client(one), "error")) as [Error];
    expect(error).toMatchObject({ code: "ECONNREFUSED" });
    await forwards.close(vm, one);
    await forwards.closeAll(vm);
    await forwards.closeAll(vm);
    expect(forwards.listening(vm)).toEqual([]);
    await forwards.ended(vm, two, never);
  });

  it("of one VM leaves the others' alone", async () => {
    const neighbour = fakeVm({ id: fakeVmId(2) });
    const [mine, theirs] = [await forwardTo(), await forwardTo()];
    await forwards.open(vm, mine);
    await forwards.open(neighbour, theirs);
    await forwards.closeAll(vm);
    expect(forwards.listening(neighbour)).toEqual([theirs]);
  });

  it("cancels a connection that the guest has not taken yet", async () => {
    const forward = await forwardTo();
    let signal: AbortSignal | undefined;
    const guestSsh: Pick<GuestSsh, "openPort"> = {
      openPort: (_vm, _port, given) => {
        signal = given;
        return new Promise((_, reject) => {
          given.addEventListener("abort", () => reject(new Error("left")));
        });
      },
    };
    const hanging = new TcpPortForwards({ guestSsh, logger: memoryLogger() });
    await hanging.open(vm, forward);
    const ended = closed(client(forward));
    await vi.waitFor(() => expect(signal).toBeDefined());
    await hanging.dispose();
    expect(signal?.aborted).toBe(true);
    await ended;
  });

  it("can be waited for until the caller leaves", async () => {
    const forward = await forwardTo();
    await forwards.open(vm, forward);
    const cancel = new AbortController();
    const ended = forwards.ended(vm, forward, cancel.signal);
    cancel.abort();
    await ended;
    expect(forwards.listening(vm)).toEqual([forward]);
  });
});
