import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { VmNotFoundError } from "@banger/core";
import { describe, expect, it } from "vitest";
import { Channel, encodeFrame } from "../../src/api/frames.js";
import { ask, startServer, StreamClient } from "./api-bench.js";

async function idle(bench: { activity: { isIdle: boolean } }): Promise<void> {
  while (!bench.activity.isIdle) await sleep(2);
}

describe("an exec stream", () => {
  it("runs what the start frame says; both outputs come apart, then the exit", async () => {
    const bench = await startServer();
    const client = await StreamClient.open(bench);
    const terminal = { type: "xterm", columns: 80, rows: 24 };
    client.control({
      type: "start",
      argv: ["a", "b c"],
      cwd: "/tmp",
      terminal,
    });
    bench.process.stdout.write("out");
    bench.process.stderr.write("err");
    await client.until(() => client.text(Channel.stdout) === "out");
    await client.until(() => client.text(Channel.stderr) === "err");
    expect(bench.activity.isIdle).toBe(false);
    bench.process.stdout.write("put");
    bench.process.end({ exitCode: 7 });
    expect(await client.last()).toEqual({ type: "exit", exitCode: 7 });
    expect(client.text(Channel.stdout)).toBe("output");
    expect(bench.executed).toEqual([
      { argv: ["a", "b c"], cwd: "/tmp", terminal },
    ]);
    client.socket.end();
    await client.closed;
    await idle(bench);
    expect(bench.process.terminations).toBe(0);
  });

  it("passes on input, its end, and new sizes of the terminal", async () => {
    const bench = await startServer();
    const client = await StreamClient.open(bench);
    client.control({ type: "start" });
    client.input("one ");
    client.control({ type: "resize", columns: 100, rows: 50 });
    client.control({ type: "resize", columns: 0, rows: 50 });
    client.control({ type: "of a later version" });
    client.input("two");
    client.control({ type: "eof" });
    client.control({ type: "eof" });
    let text = "";
    for await (const chunk of bench.process.stdin) text += String(chunk);
    expect(text).toBe("one two");
    expect(bench.process.sizes).toEqual([{ columns: 100, rows: 50 }]);
    bench.process.end({ signal: "SIGKILL" });
    expect(await client.last()).toEqual({ type: "exit", signal: "SIGKILL" });
  });

  it.each([
    ["no control frame", encodeFrame(Channel.stdin, Buffer.from("x"))],
    ["no JSON", encodeFrame(Channel.control, Buffer.from("{"))],
    [
      "another message",
      encodeFrame(Channel.control, Buffer.from('{"type":"eof"}')),
    ],
    [
      "an unknown field",
      encodeFrame(Channel.control, Buffer.from('{"type":"start","env":{}}')),
    ],
    [
      "a relative directory",
      encodeFrame(Channel.control, Buffer.from('{"type":"start","cwd":"x"}')),
    ],
    ["a frame that is too large", Buffer.from([4, 255, 255, 255, 255])],
  ])("refuses a stream that begins with %s", async (_what, bytes) => {
    const bench = await startServer();
    const client = await StreamClient.open(bench);
    client.socket.write(bytes);
    expect(await client.last()).toMatchObject({
      type: "error",
      error: { code: "ERR_INVALID_VALUE" },
    });
    expect(bench.executed).toEqual([]);
    client.socket.end();
    await idle(bench);
  });

  it("ends the process when the client sends an invalid frame later", async () => {
    const bench = await startServer();
    const client = await StreamClient.open(bench);
    client.control({ type: "start" });
    bench.process.stdout.write("ready");
    await client.until(() => client.text(Channel.stdout) === "ready");
    client.socket.write(Buffer.from([1, 255, 255, 255, 255]));
    expect(await client.last()).toMatchObject({
      error: { code: "ERR_INVALID_VALUE" },
    });
    await bench.process.terminated;
  });

  it("ends a silent process when the client leaves", async () => {
    const bench = await startServer();
    const client = await StreamClient.open(bench);
    client.control({ type: "start" });
    bench.process.stdout.write("ready");
    await client.until(() => client.text(Channel.stdout) === "ready");
    client.socket.destroy();
    await bench.process.terminated;
    await idle(bench);
  });

  it("notices that the client left while the process does not read its input", async () => {
    const bench = await startServer();
    const client = await StreamClient.open(bench);
    client.control({ type: "start" });
    const piece = encodeFrame(Channel.stdin, Buffer.alloc(64 * 1024));
    for (let sent = 0; sent < 64; sent++) client.socket.write(piece);
    while (!bench.process.stdin.writableNeedDrain) await sleep(2);
    client.socket.destroy();
    await bench.process.terminated;
    await idle(bench);
  });

  it("ends the session when the daemon ends, and says so", async () => {
    const bench = await startServer();
    const client = await StreamClient.open(bench);
    client.control({ type: "start" });
    bench.process.stdout.write("ready");
    await client.until(() => client.text(Channel.stdout) === "ready");
    const closing = bench.server.close();
    expect(await client.last()).toMatchObject({
      type: "error",
      error: { code: "ERR_CANCELLED" },
    });
    await bench.process.terminated;
    client.socket.end();
    await closing;
  });

  it("cuts off a client that stays after the exit", async () => {
    const bench = await startServer();
    const client = await StreamClient.open(bench);
    client.socket.allowHalfOpen = true;
    client.control({ type: "start" });
    bench.process.end({ exitCode: 0 });
    await client.last();
    await idle(bench);
  });

  it("keeps what a slow client has not read with the process, not in memory", async () => {
    const bench = await startServer();
    const client = await StreamClient.open(bench, { isReading: false });
    client.socket.pause();
    client.control({ type: "start" });
    const piece = Buffer.alloc(64 * 1024, "x");
    const total = 64 * 2 ** 20;
    let written = 0;
    const flood = (async () => {
      while (written < total) {
        written += piece.length;
        if (!bench.process.stdout.write(piece))
          await once(bench.process.stdout, "drain");
      }
      bench.process.end({ exitCode: 0 });
    })();
    let before = -1;
    // Until nothing moves any more.
    while (before !== written) {
      before = written;
      await sleep(100);
    }
    expect(written).toBeGreaterThan(0);
    expect(written).toBeLessThan(8 * 2 ** 20);
    client.read();
    client.socket.resume();
    await flood;
    await client.last();
    const received = client.frames
      .filter(({ channel }) => channel === Channel.stdout)
      .reduce((sum, { payload }) => sum + payload.length, 0);
    expect(received).toBe(total);
  });

  it("cuts output that comes in one large piece", async () => {
    const bench = await startServer();
    const client = await StreamClient.open(bench);
    bench.process.stdout.write(Buffer.alloc(3 * 2 ** 20 + 5, "x"));
    bench.process.end({ exitCode: 0 });
    client.control({ type: "start" });
    expect(await client.last()).toMatchObject({ type: "exit" });
    expect(client.text(Channel.stdout)).toHaveLength(3 * 2 ** 20 + 5);
  });

  it("refuses other paths, other protocols, and VMs that are not there", async () => {
    const bench = await startServer({
      getRunning: () => Promise.reject(new VmNotFoundError("otter", [])),
    });
    const upgrade = (path: string, protocol: string) =>
      ask(bench, "POST", path, undefined, {
        connection: "Upgrade",
        upgrade: protocol,
      });
    const protocol = "banger-stream-v1";
    for (const [path, wanted, code] of [
      ["/v1/vms", protocol, "ERR_ROUTE_NOT_FOUND"],
      ["/v1/vms/otter/exec", "websocket", "ERR_ROUTE_NOT_FOUND"],
      ["/v1/vms/otter/exec", protocol, "ERR_VM_NOT_FOUND"],
    ] as const) {
      const { status, text } = await upgrade(path, wanted);
      expect(status).toBe(404);
      expect(JSON.parse(text)).toMatchObject({ code });
    }
    const { status } = await upgrade("/v1/vms/%zz/exec", protocol);
    expect(status).toBe(400);
  });
});
