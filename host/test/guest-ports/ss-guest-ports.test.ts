import { once } from "node:events";
import {
  createServer as createHttpServer,
  type RequestListener,
} from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { connect, createServer, type AddressInfo, type Server } from "node:net";
import { PassThrough } from "node:stream";
import {
  GuestConnectionError,
  type GuestCommand,
  type GuestProcess,
  type GuestSsh,
} from "@banger/core";
import { endedProcess, fakeVm } from "@banger/core/testing";
import { describe, expect, it, onTestFinished } from "vitest";
import { SsGuestPorts } from "../../src/guest-ports/ss-guest-ports.js";
import { tlsCertificate } from "./tls-certificate.js";

const never = new AbortController().signal;
const vm = fakeVm({ state: "running" });
const limits = {
  listTimeoutMs: 5_000,
  maxListBytes: 10_000,
  probeTimeoutMs: 1_000,
  probesTimeoutMs: 5_000,
  maxProbes: 64,
  parallelProbes: 8,
};

/** A guest where `ss` says this, and whose ports are this machine's. */
function guest(
  output: string,
  exitCode = 0,
): Pick<GuestSsh, "exec" | "openPort"> & {
  readonly commands: GuestCommand[];
  readonly opened: number[];
} {
  const commands: GuestCommand[] = [];
  const opened: number[] = [];
  return {
    commands,
    opened,
    exec: (_vm, command) => {
      commands.push(command);
      const stdout = new PassThrough();
      stdout.end(output);
      const process: GuestProcess = {
        ...endedProcess(),
        stdout,
        exit: Promise.resolve({ exitCode }),
      };
      return Promise.resolve(process);
    },
    openPort: async (_vm, port) => {
      opened.push(port);
      const socket = connect(port, "127.0.0.1");
      try {
        await once(socket, "connect");
      } catch (error) {
        throw new GuestConnectionError("x", "refused", error);
      }
      return socket;
    },
  };
}

async function serve(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  return (server.address() as AddressInfo).port;
}
const listens = (port: number): string =>
  `tcp LISTEN 0 5 0.0.0.0:${port} 0.0.0.0:* users:(("web",pid=1,fd=3))\n`;
const schemeOf = async (server: Server): Promise<string | undefined> => {
  const port = await serve(server);
  const ports = new SsGuestPorts({ guestSsh: guest(listens(port)) }, limits);
  return (await ports.list(vm, never))[0]?.scheme;
};
/** A server that says this to whoever connects, or to whatever it reads. */
const says = (bytes: string | Buffer): Server =>
  createServer((socket) => {
    socket.on("error", () => undefined);
    socket.on("data", () => socket.end(bytes));
  });
const failure = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => "no error",
    (error: unknown) => error,
  );

describe("the scheme of a port", () => {
  const redirect: RequestListener = (_request, response) => {
    response.writeHead(302, { location: "http://127.0.0.1:1/" }).end();
  };

  it("is http where HTTP is answered, whatever it says", async () => {
    expect(await schemeOf(createHttpServer(redirect))).toBe("http");
    expect(await schemeOf(says("HTTP/1.0 501 No HEAD here\r\n\r\n"))).toBe(
      "http",
    );
    expect(await schemeOf(says("HTTP/1.1 400 Bad Request\r\n\r\n"))).toBe(
      "http",
    );
  });

  it("is https behind a certificate that nobody has signed", async () => {
    expect(await schemeOf(createHttpsServer(tlsCertificate, redirect))).toBe(
      "https",
    );
  });

  it.each<[string, Server]>([
    ["ends at once", createServer((socket) => socket.end())],
    ["says nothing", createServer((socket) => void socket.resume())],
    [
      "speaks first",
      createServer((socket) => socket.end("220 mail ESMTP\r\n")),
    ],
    ["says something else", says("-ERR unknown command\r\n")],
    ["says almost that", says("HTTP/9.9 200 OK\r\n\r\n")],
    [
      "sends TLS records without end",
      says(Buffer.alloc(1 << 20, "\x16\x03\x03\x40\x00", "latin1")),
    ],
  ])("is unknown where the port %s", async (_what, server) => {
    server.on("connection", (socket) => socket.on("error", () => undefined));
    expect(await schemeOf(server)).toBeUndefined();
  });

  it("is unknown where nothing answers any more", async () => {
    const guestSsh = guest(listens(1));
    const list = new SsGuestPorts({ guestSsh }, limits).list(vm, never);
    expect(await list).toEqual([
      { protocol: "tcp", address: "0.0.0.0", port: 1, process: "web" },
    ]);
  });

  it("is asked of no more ports than the bound, and never of SSH", async () => {
    const output = [22, 1, 2, 3, 4, 5].map(listens).join("");
    const guestSsh = guest(`${output}udp UNCONN 0 0 0.0.0.0:9 0.0.0.0:*\n`);
    const ports = new SsGuestPorts({ guestSsh }, { ...limits, maxProbes: 3 });
    expect(await ports.list(vm, never)).toHaveLength(7);
    expect(new Set(guestSsh.opened)).toEqual(new Set([1, 2, 3]));
  });
});

describe("listing", () => {
  it("runs ss without a shell", async () => {
    const guestSsh = guest("");
    expect(
      await new SsGuestPorts({ guestSsh }, limits).list(vm, never),
    ).toEqual([]);
    expect(guestSsh.commands).toEqual([{ argv: ["ss", "-Hlntup"] }]);
  });

  it.each([
    ["is not there", guest("", 127), "the guest has no program ss"],
    ["fails", guest(listens(80), 1), "ss failed"],
    ["says too much", guest(listens(80).repeat(1_000)), "has no end"],
  ])("is a typed error when ss %s", async (_what, guestSsh, words) => {
    const ports = new SsGuestPorts({ guestSsh }, limits);
    expect(await failure(ports.list(vm, never))).toMatchObject({
      code: "ERR_GUEST_CONNECTION",
      message: expect.stringContaining(words) as string,
    });
  });

  it("ends at its limit, and with its caller", async () => {
    const hanging = (): Pick<GuestSsh, "exec" | "openPort"> => ({
      ...guest(""),
      exec: (_vm, _command, signal) => {
        const stdout = new PassThrough();
        signal.addEventListener("abort", () => stdout.end());
        const exit = once(stdout, "end").then(() => ({ signal: "SIGTERM" }));
        return Promise.resolve({ ...endedProcess(), stdout, exit });
      },
    });
    const quick = { ...limits, listTimeoutMs: 30 };
    const slow = new SsGuestPorts({ guestSsh: hanging() }, quick);
    expect(await failure(slow.list(vm, never))).toMatchObject({
      code: "ERR_GUEST_CONNECTION",
      message: expect.stringContaining("within 0.03 s") as string,
    });
    const cancel = new AbortController();
    const ports = new SsGuestPorts({ guestSsh: hanging() }, limits);
    const listing = failure(ports.list(vm, cancel.signal));
    cancel.abort();
    expect(await listing).toMatchObject({ code: "ERR_CANCELLED" });
  });
});
