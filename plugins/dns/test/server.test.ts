import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect, createServer, type AddressInfo } from "node:net";
import type { Endpoint } from "@banger/core";
import { memoryLogger } from "@banger/core/testing";
import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import { DnsServer, type DnsServerOptions } from "../src/server.js";
import { listenTcp } from "../src/tcp-listener.js";
import { askUdp, frames, freePort, occupyUdp, TcpClient } from "./clients.js";
import { ask, read } from "./messages.js";
import { mutatedQuery } from "./mutations.js";

vi.setConfig({ testTimeout: 60_000 });

const host = "127.0.0.1";
const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

function makeServer(more: Partial<DnsServerOptions> = {}): DnsServer {
  const server = new DnsServer({
    listen: { host, port: 0 },
    ttlSeconds: 5,
    logger: memoryLogger(),
    ...more,
  });
  undo.push(() => server.close());
  return server;
}

async function startServer(
  more: Partial<DnsServerOptions> = {},
): Promise<{ server: DnsServer; at: Endpoint }> {
  const server = makeServer(more);
  await server.publish("web.vm", "172.16.0.2");
  return { server, at: server.listening! };
}

function client(at: Endpoint): TcpClient {
  const made = new TcpClient(at);
  undo.push(() => made.socket.destroy());
  return made;
}

const codeOf = (error: unknown): unknown =>
  (error as { code?: unknown } | undefined)?.code;
const addressIn = (reply: Buffer): unknown => read(reply).answers?.[0];

describe("names", () => {
  it("are answered over UDP and TCP, on the same port, until they are withdrawn", async () => {
    const { server, at } = await startServer();
    expect(server.published).toEqual(new Map([["web.vm", "172.16.0.2"]]));
    const record = { name: "web.vm", data: "172.16.0.2", ttl: 5 };
    expect(addressIn(await askUdp(at, ask("web.vm")))).toMatchObject(record);
    const tcp = client(at);
    await tcp.send(frames(ask("web.vm")));
    expect(addressIn((await tcp.until(1))[0]!)).toMatchObject(record);

    server.withdraw("web.vm");
    server.withdraw("web.vm");
    expect(read(await askUdp(at, ask("web.vm"))).rcode).toBe("NXDOMAIN");
    expect(server.listening).toEqual(at);
  });

  it("take their new address, and the zone's serial grows", async () => {
    const { server, at } = await startServer();
    const serial = async (): Promise<number> => {
      const reply = read(await askUdp(at, ask("vm", "SOA")));
      const [soa] = reply.answers ?? [];
      return soa?.type === "SOA" ? (soa.data.serial ?? 0) : 0;
    };
    const first = await serial();
    await server.publish("web.vm", "172.16.0.2");
    expect(await serial()).toBe(first);
    await server.publish("WEB.vm", "172.16.0.3");
    expect(await serial()).toBeGreaterThan(first);
    expect(addressIn(await askUdp(at, ask("web.vm")))).toMatchObject({
      data: "172.16.0.3",
    });
  });

  it.each([
    ["web", "172.16.0.2"],
    ["web.lan", "172.16.0.2"],
    ["a.web.vm", "172.16.0.2"],
    ["-.vm", "172.16.0.2"],
    [".vm", "172.16.0.2"],
    ["web.vm", "fe80::1"],
    ["web.vm", "1.2.3.4; rm"],
  ])("are refused when they do not fit: %s %s", async (name, ip) => {
    const server = makeServer();
    await expect(server.publish(name, ip)).rejects.toMatchObject({
      code: "ERR_INVALID_VALUE",
    });
    server.withdraw(name);
    expect(server.published.size).toBe(0);
    expect(server.listening).toBeUndefined();
  });
});

describe("life", () => {
  it("is nothing before the first name", async () => {
    const server = makeServer();
    server.withdraw("web.vm");
    expect(server.listening).toBeUndefined();
    expect(await server.probe()).toBeUndefined();
    expect(server.listening).toBeUndefined();
  });

  it("begins once however many names come at once, and probes do no harm", async () => {
    const port = await freePort();
    const logger = memoryLogger();
    const server = makeServer({ listen: { host, port }, logger });
    const names = Array.from({ length: 40 }, (_, n) => `vm-${String(n)}.vm`);
    const results = await Promise.all(
      names.flatMap((name) => [
        server.probe(),
        server.publish(name, "172.16.0.9"),
      ]),
    );
    expect(results.every((result) => result === undefined)).toBe(true);
    expect(logger.entries).toMatchObject([{ level: "info" }]);
    const at = { host, port };
    expect(server.listening).toEqual(at);
    for (const name of names)
      expect(read(await askUdp(at, ask(name))).rcode).toBe("NOERROR");
  });

  it("ends with close: connections too, and the port is free", async () => {
    const limits = { idleMs: 3_600_000, connections: 64, perAddress: 8 };
    const { server, at } = await startServer({ limits });
    const tcp = client(at);
    await tcp.send(frames(ask("web.vm")));
    await tcp.until(1);
    await Promise.all([server.close(), server.close()]);
    await tcp.closed;
    expect(server.listening).toBeUndefined();
    const other = makeServer({ listen: at });
    await other.publish("web.vm", "172.16.0.4");
    await expect(server.publish("b.vm", "172.16.0.5")).rejects.toMatchObject({
      code: "ERR_CANCELLED",
    });
  });

  it("ends even while it begins", async () => {
    const server = makeServer();
    const publishing = server.publish("web.vm", "172.16.0.2");
    const closing = server.close();
    await Promise.allSettled([publishing, closing]);
    expect(server.listening).toBeUndefined();
  });
});

describe("a port that is taken", () => {
  it.each(["UDP", "TCP"])(
    "by %s is a typed error, and nothing stays open",
    async (by) => {
      let port: number;
      let release: () => unknown;
      if (by === "UDP") {
        ({ port, release } = await occupyUdp());
      } else {
        const socket = createServer().listen(0, host);
        await once(socket, "listening");
        port = (socket.address() as AddressInfo).port;
        release = () => socket.close();
      }
      undo.push(() => release());
      const server = makeServer({ listen: { host, port } });
      expect(codeOf(await server.probe())).toBe("ERR_DNS_PORT_BUSY");
      const failure = await server
        .publish("web.vm", "172.16.0.2")
        .catch((error: unknown) => error);
      expect(failure).toMatchObject({
        code: "ERR_DNS_PORT_BUSY",
        hint: expect.stringContaining(
          `ss -ulpn 'sport = :${String(port)}'`,
        ) as string,
      });
      expect(server.listening).toBeUndefined();
      // The half that could be bound was given back.
      if (by === "UDP") {
        const probe = createServer().listen(port, host);
        await once(probe, "listening");
        probe.close();
      } else {
        await (await occupyUdp(port)).release();
      }
    },
  );

  it("is taken over when it becomes free, with all names that came meanwhile", async () => {
    const { port, release } = await occupyUdp();
    const server = makeServer({ listen: { host, port }, retryMs: 5 });
    for (const name of ["a.vm", "b.vm"]) {
      await expect(server.publish(name, "172.16.0.2")).rejects.toMatchObject({
        code: "ERR_DNS_PORT_BUSY",
      });
    }
    await release();
    await vi.waitFor(() => {
      expect(server.listening).toEqual({ host, port });
    }, 30_000);
    for (const name of ["a.vm", "b.vm"])
      expect(addressIn(await askUdp({ host, port }, ask(name)))).toBeDefined();
  });

  it("is another error when the host does not have the address", async () => {
    // TEST-NET-1 (RFC 5737): no host has it.
    const server = makeServer({ listen: { host: "192.0.2.1", port: 42_069 } });
    expect(codeOf(await server.probe())).toBe("ERR_DNS_LISTEN");
  });
});

describe("datagrams", () => {
  it("that cannot be read are dropped, and the server goes on", async () => {
    const { at } = await startServer();
    const socket = createSocket("udp4");
    undo.push(() => socket.close());
    const broken = [
      Buffer.alloc(0),
      Buffer.alloc(11),
      ask("web.vm").subarray(0, 20),
      ask("web.vm", "A", { type: "response" }),
    ];
    for (const message of broken) socket.send(message, at.port, at.host);
    const reply = once(socket, "message");
    socket.send(ask("web.vm", "A", { id: 77 }), at.port, at.host);
    // The first reply on this socket is to the last, good message.
    expect(read(((await reply) as [Buffer])[0]).id).toBe(77);
  });

  it("with hundreds of faults do not stop it", async () => {
    const { at } = await startServer();
    const socket = createSocket("udp4");
    undo.push(() => socket.close());
    for (const message of fc.sample(mutatedQuery, { numRuns: 500, seed: 53 })) {
      await new Promise((resolve) => {
        socket.send(message, at.port, at.host, resolve);
      });
      // Lets the server read: its queue in the kernel would overflow, and the faults never reach it.
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(addressIn(await askUdp(at, ask("web.vm")))).toBeDefined();
  });
});

describe("connections", () => {
  it("carry several queries, answered in order", async () => {
    const { at } = await startServer();
    const tcp = client(at);
    const ids = Array.from({ length: 50 }, (_, n) => n + 1);
    await tcp.send(frames(...ids.map((id) => ask("web.vm", "A", { id }))));
    const replies = await tcp.until(ids.length);
    expect(replies.map((reply) => read(reply).id)).toEqual(ids);
  });

  it("carry queries that come byte by byte", async () => {
    const { at } = await startServer();
    const tcp = client(at);
    await tcp.send(frames(ask("web.vm"), ask("no.vm")), 1);
    const replies = await tcp.until(2);
    expect(replies.map((reply) => read(reply).rcode)).toEqual([
      "NOERROR",
      "NXDOMAIN",
    ]);
  });

  it("that are half closed still get their replies", async () => {
    const { at } = await startServer();
    const tcp = client(at);
    tcp.socket.end(frames(ask("web.vm"), ask("no.vm")));
    await tcp.closed;
    expect(tcp.replies).toHaveLength(2);
  });

  it.each([
    ["a message that cannot be read", frames(Buffer.from("no dns"))],
    ["an empty message", frames(Buffer.alloc(0))],
    ["a response", frames(ask("web.vm", "A", { type: "response" }))],
    ["a length beyond the limit", Buffer.from([0xff, 0xff, 0, 0])],
  ])("end at %s, after the replies that were due", async (_, broken) => {
    const { at } = await startServer();
    const tcp = client(at);
    await tcp.send(
      Buffer.concat([frames(ask("web.vm")), broken, frames(ask("web.vm"))]),
    );
    await tcp.closed;
    expect(tcp.replies).toHaveLength(1);
    expect(addressIn(await askUdp(at, ask("web.vm")))).toBeDefined();
  });

  it("end when no complete query comes, though bytes do", async () => {
    const { at } = await startServer({
      limits: { idleMs: 60, connections: 64, perAddress: 8 },
    });
    const silent = client(at);
    const slow = client(at);
    // A length of 4,000 bytes, then one byte after another.
    const trickle = setInterval(() => slow.socket.write("\x0f\xa0"), 10);
    undo.push(() => {
      clearInterval(trickle);
    });
    await Promise.all([silent.closed, slow.closed]);
    expect(slow.replies).toHaveLength(0);
  });

  it("live on while queries come", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    undo.push(() => vi.useRealTimers());
    const { at } = await startServer();
    const tcp = client(at);
    for (let count = 1; count <= 4; count++) {
      await tcp.send(frames(ask("web.vm")));
      expect(await tcp.until(count)).toHaveLength(count);
      vi.advanceTimersByTime(9_000);
    }
    vi.advanceTimersByTime(1_000);
    await tcp.closed;
  });

  it("beyond the limit are refused, and welcome when others have gone", async () => {
    const { at } = await startServer({
      limits: { idleMs: 10_000, connections: 2, perAddress: 8 },
    });
    const first = client(at);
    const second = client(at);
    for (const tcp of [first, second]) {
      await tcp.send(frames(ask("web.vm")));
      await tcp.until(1);
    }
    const third = client(at);
    await third.closed;
    expect(third.replies).toHaveLength(0);
    first.socket.destroy();
    await vi.waitFor(async () => {
      const next = client(at);
      await next.send(frames(ask("web.vm")));
      await Promise.race([next.until(1), next.closed]);
      expect(next.replies).toHaveLength(1);
    }, 30_000);
  });

  it("of a client that asks and does not read are not answered beyond a bound", async () => {
    let answered = 0;
    const reply = Buffer.alloc(60_000);
    const answer = (): Buffer => {
      answered++;
      return reply;
    };
    const listener = await listenTcp({ host, port: 0 }, answer, memoryLogger());
    undo.push(() => listener.close());
    const at = { host, port: listener.port };
    const tcp = client(at);
    tcp.socket.pause();
    // 60 MB of replies: far beyond what the kernel takes for one connection.
    const count = 1_000;
    await tcp.send(frames(...Array.from({ length: count }, () => ask("a.vm"))));
    await vi.waitFor(() => {
      expect(answered).toBeGreaterThan(0);
    }, 30_000);
    // A round trip of somebody else: the server has had its turns.
    const other = connect(at);
    undo.push(() => other.destroy());
    other.write(frames(ask("a.vm")));
    await once(other, "data");
    expect(answered).toBeLessThan(count);
    let received = 0;
    tcp.socket.removeAllListeners("data");
    tcp.socket.on("data", (chunk) => {
      received += chunk.length;
      if (received === count * (reply.length + 2)) tcp.socket.end();
    });
    tcp.socket.resume();
    await tcp.closed;
    expect(received).toBe(count * (reply.length + 2));
  });

  it("of a client that asks and does not read get every reply when it reads again", async () => {
    const { at } = await startServer();
    const tcp = client(at);
    tcp.socket.pause();
    const count = 20_000;
    const query = frames(ask("nobody.vm"));
    // More than 2 MB of replies: beyond what the kernel and the server hold for one connection.
    void tcp.send(Buffer.concat(Array.from({ length: count }, () => query)));
    // Somebody else is served meanwhile.
    expect(addressIn(await askUdp(at, ask("web.vm")))).toBeDefined();
    tcp.socket.resume();
    expect(await tcp.until(count)).toHaveLength(count);
  });

  it("with faults do not stop it", async () => {
    const { at } = await startServer();
    const messages = fc.sample(mutatedQuery, { numRuns: 100, seed: 7 });
    for (const message of messages) {
      const tcp = client(at);
      tcp.socket.end(frames(message));
      await tcp.closed;
    }
    expect(addressIn(await askUdp(at, ask("web.vm")))).toBeDefined();
  });
});
