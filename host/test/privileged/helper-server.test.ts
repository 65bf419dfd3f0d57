import { chmod } from "node:fs/promises";
import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { definePrivilegedRequest } from "@banger/core";
import { describe, expect, it, vi } from "vitest";
import { z } from "zod";
import {
  foreignId,
  isRoot,
  lineOf,
  noWaits,
  open,
  ownerId,
  replyOn,
  requestLog,
  send,
  sendAs,
  startHelper,
  waitRequest,
  type Reply,
} from "./helper-bench.js";

const hello = lineOf("test.echo", { text: "hello" });
const answered: Reply = { ok: true, output: { text: "hello" } };

describe.runIf(isRoot)("who may ask", () => {
  it("is the owner, who is logged with process, operation and time", async () => {
    const bench = await startHelper();
    const operationId = "op-0123abcd";
    const line = lineOf("test.echo", { text: "hello" }, { operationId });
    expect(await sendAs(ownerId, bench.socketPath, line)).toEqual(answered);
    const [entry] = requestLog(bench);
    expect(requestLog(bench)).toHaveLength(1);
    expect(entry).toMatchObject({
      level: "info",
      fields: {
        request: "test.echo",
        operation: operationId,
        uid: ownerId,
        code: "ok",
      },
    });
    expect(entry?.fields["pid"]).toBeGreaterThan(1);
    expect(entry?.fields["pid"]).not.toBe(process.pid);
    expect(entry?.fields["durationMs"]).toBeGreaterThanOrEqual(0);
  });

  it("is root", async () => {
    const bench = await startHelper();
    expect(await send(bench.socketPath, hello)).toEqual(answered);
    expect(requestLog(bench)[0]?.fields).toMatchObject({
      uid: 0,
      pid: process.pid,
    });
  });

  it("is nobody else: the socket is not theirs to open", async () => {
    const { socketPath } = await startHelper();
    expect(await sendAs(foreignId, socketPath, hello)).toEqual({
      refused: "EACCES",
    });
  });

  it("is nobody else, even when the socket were open to all", async () => {
    const bench = await startHelper();
    await chmod(bench.socketPath, 0o666);
    const reply = await sendAs(foreignId, bench.socketPath, hello);
    expect(reply.error?.code).toBe("ERR_PRIVILEGED_PEER");
    expect(requestLog(bench)).toMatchObject([
      {
        level: "warn",
        message: "Request refused",
        fields: { uid: foreignId, code: "ERR_PRIVILEGED_PEER" },
      },
    ]);
  });
});

describe.runIf(isRoot)("what is asked for", () => {
  const refusals: readonly {
    what: string;
    bytes: string | Uint8Array;
    code: string;
    ends?: boolean;
  }[] = [
    {
      what: "input that does not fit",
      bytes: lineOf("test.echo", { text: 1 }),
      code: "ERR_PRIVILEGED_INPUT",
    },
    {
      what: "input with more than it should have",
      bytes: lineOf("test.echo", { text: "x", file: "../../etc/shadow" }),
      code: "ERR_PRIVILEGED_INPUT",
    },
    {
      what: "input that would change a prototype",
      bytes: `{"version":1,"request":"test.echo","input":{"__proto__":{"text":"x"}}}\n`,
      code: "ERR_PRIVILEGED_INPUT",
    },
    {
      what: "no input",
      bytes: `{"version":1,"request":"test.echo"}\n`,
      code: "ERR_PRIVILEGED_INPUT",
    },
    {
      what: "an unknown request",
      bytes: lineOf("test.other", {}),
      code: "ERR_PRIVILEGED_UNKNOWN",
    },
    {
      what: "a request called as a property of all objects",
      bytes: lineOf("constructor", {}),
      code: "ERR_PRIVILEGED_PROTOCOL",
    },
    {
      what: "another version",
      bytes: lineOf("test.echo", { text: "x" }, { version: 2 }),
      code: "ERR_PRIVILEGED_VERSION",
    },
    {
      what: "no version",
      bytes: `{"request":"test.echo","input":{"text":"x"}}\n`,
      code: "ERR_PRIVILEGED_PROTOCOL",
    },
    {
      what: "a field that nobody knows",
      bytes: lineOf("test.echo", { text: "x" }, { uid: 0 }),
      code: "ERR_PRIVILEGED_PROTOCOL",
    },
    {
      what: "an operation that is none",
      bytes: lineOf("test.echo", { text: "x" }, { operationId: "op-\n" }),
      code: "ERR_PRIVILEGED_PROTOCOL",
    },
    {
      what: "no JSON",
      bytes: "GET / HTTP/1.1\n",
      code: "ERR_PRIVILEGED_PROTOCOL",
    },
    {
      what: "an empty line",
      bytes: "\n",
      code: "ERR_PRIVILEGED_PROTOCOL",
    },
    {
      what: "JSON that is no object",
      bytes: "[1, 2]\n",
      code: "ERR_PRIVILEGED_PROTOCOL",
    },
    {
      what: "JSON that is very deep",
      bytes: `${"[".repeat(60_000)}\n`,
      code: "ERR_PRIVILEGED_PROTOCOL",
    },
    {
      what: "deep input",
      bytes: `{"version":1,"request":"test.echo","input":${"[".repeat(30_000)}${"]".repeat(30_000)}}\n`,
      code: "ERR_PRIVILEGED_INPUT",
    },
    {
      what: "bytes that are no UTF-8",
      bytes: Buffer.concat([
        Buffer.from(`{"version":1,"request":"test.echo","input":{"text":"`),
        Buffer.from([0xc3, 0x28, 0xff]),
        Buffer.from(`"}}\n`),
      ]),
      code: "ERR_PRIVILEGED_PROTOCOL",
    },
    {
      what: "two lines",
      bytes: `${hello}${hello}`,
      code: "ERR_PRIVILEGED_PROTOCOL",
    },
    {
      what: "a line that is half written",
      bytes: hello.slice(0, 20),
      code: "ERR_PRIVILEGED_PROTOCOL",
      ends: true,
    },
    {
      what: "megabytes without an end",
      bytes: Buffer.alloc(8 * 2 ** 20, "x"),
      code: "ERR_PRIVILEGED_PROTOCOL",
    },
  ];

  it.each(refusals)(
    "is refused and logged: $what",
    async ({ bytes, code, ends }) => {
      const bench = await startHelper();
      const reply = await send(bench.socketPath, bytes, ends);
      expect(reply.error?.code).toBe(code);
      expect(requestLog(bench)).toMatchObject([
        { level: "warn", fields: { code, uid: 0 } },
      ]);
      expect(await send(bench.socketPath, hello)).toEqual(answered);
    },
  );

  it("may be nothing, from somebody who looks whether there is a helper", async () => {
    const bench = await startHelper();
    const reply = await send(bench.socketPath, "", true);
    expect(reply.error?.code).toBe("ERR_PRIVILEGED_PROTOCOL");
    expect(bench.logger.entries).toContainEqual(
      expect.objectContaining({
        level: "debug",
        message: "Connection without a request",
      }),
    );
    expect(requestLog(bench)).toEqual([]);
  });

  it("may be as long as the limit", async () => {
    const { socketPath } = await startHelper();
    const empty = lineOf("test.echo", { text: "" }).length;
    const text = "x".repeat(65_536 - empty);
    const line = lineOf("test.echo", { text });
    expect(line).toHaveLength(65_536);
    expect(await send(socketPath, line)).toEqual({
      ok: true,
      output: { text },
    });
    const more = lineOf("test.echo", { text: `${text}x` });
    const { error } = await send(socketPath, more);
    expect(error?.code).toBe("ERR_PRIVILEGED_PROTOCOL");
  });

  it("may come in pieces", async () => {
    const { socketPath } = await startHelper();
    const socket = await open(socketPath);
    const reply = replyOn(socket);
    for (const byte of hello) {
      socket.write(byte);
      await sleep(1);
    }
    expect(await reply).toEqual(answered);
  });

  it("must come in time: who writes a byte now and then is sent away", async () => {
    const bench = await startHelper();
    const socket = await open(bench.socketPath);
    const reply = replyOn(socket);
    const dripping = setInterval(() => socket.write(" "), 200);
    expect((await reply).error).toMatchObject({
      code: "ERR_PRIVILEGED_PROTOCOL",
      message: expect.stringContaining("within 5 s") as string,
    });
    clearInterval(dripping);
    expect(await send(bench.socketPath, hello)).toEqual(answered);
  }, 15_000);

  it("is not carried out any further when something comes after it", async () => {
    const waits = noWaits();
    const bench = await startHelper({ requests: [waitRequest(waits)] });
    const socket = await open(bench.socketPath);
    const reply = replyOn(socket);
    socket.write(lineOf("test.wait", { ms: 20_000 }));
    await vi.waitFor(() => expect(waits.running).toBe(1));
    socket.write(hello);
    expect((await reply).error?.code).toBe("ERR_PRIVILEGED_PROTOCOL");
    expect(waits).toMatchObject({ running: 0, aborted: 1 });
  });
});

describe.runIf(isRoot)("what is answered", () => {
  it("carries a failure with its code, kind, hint and cause", async () => {
    const bench = await startHelper();
    const line = lineOf("test.fail", { how: "known" });
    expect(await send(bench.socketPath, line)).toEqual({
      error: {
        code: "ERR_INVALID_VALUE",
        kind: "usage",
        message: "there is no such thing",
        hint: "Name another",
        details: ["caused by: the reason"],
      },
    });
  });

  it("names a bug as one, whose stack is in the log", async () => {
    const bench = await startHelper();
    const line = lineOf("test.fail", { how: "bug" });
    const { error } = await send(bench.socketPath, line);
    expect(error).toMatchObject({
      code: "ERR_INTERNAL",
      hint: expect.stringContaining("journalctl") as string,
    });
    const [entry] = requestLog(bench);
    expect(entry).toMatchObject({ level: "error", message: "Request failed" });
    expect(entry?.fields["error"]).toBeInstanceOf(Error);
  });

  it("is bounded, and must be JSON", async () => {
    const requests = ["long", "cyclic", "wordy"].map((kind) =>
      definePrivilegedRequest({
        name: `test.${kind}`,
        input: z.strictObject({}),
        output: z.unknown(),
        timeoutMs: 5_000,
        run: async () => {
          await Promise.resolve();
          const text = "x".repeat(2 ** 20);
          if (kind === "wordy") throw new Error(text);
          return kind === "long" ? text : { size: 1n };
        },
      }),
    );
    const { socketPath } = await startHelper({ requests });
    for (const name of ["test.long", "test.cyclic"]) {
      const { error } = await send(socketPath, lineOf(name, {}));
      expect(error?.code).toBe("ERR_PRIVILEGED_ANSWER");
    }
    const { error } = await send(socketPath, lineOf("test.wordy", {}));
    expect(error?.code).toBe("ERR_INTERNAL");
    expect(error?.message.length).toBeLessThan(10_000);
  });

  it("ends at the request's own time limit", async () => {
    const slow = definePrivilegedRequest({
      name: "test.slow",
      input: z.strictObject({}),
      output: z.unknown(),
      timeoutMs: 200,
      run: async (_, { signal }) => sleep(20_000, undefined, { signal }),
    });
    const bench = await startHelper({ requests: [slow] });
    const { error } = await send(bench.socketPath, lineOf("test.slow", {}));
    expect(error?.code).toBe("ERR_TIME_LIMIT");
    expect(requestLog(bench)).toMatchObject([{ level: "error" }]);
  });
});

describe.runIf(isRoot)("many at once", () => {
  it("are carried out a few at a time, wait in a bounded queue, and are told when it is full", async () => {
    const waits = noWaits();
    const bench = await startHelper({ requests: [waitRequest(waits)] });
    const line = lineOf("test.wait", { ms: 300 });
    const replies = await Promise.all(
      Array.from({ length: 60 }, () => send(bench.socketPath, line)),
    );
    const codes = replies.map(({ ok, error }) => (ok ? "ok" : error?.code));
    expect(waits.mostRunning).toBe(8);
    expect(codes.filter((code) => code === "ok")).toHaveLength(40);
    expect(codes.filter((code) => code === "ERR_PRIVILEGED_BUSY")).toHaveLength(
      20,
    );
  });

  it("may be a thousand that say nothing: the helper answers the owner when they have gone, and others mean nothing to it", async () => {
    const bench = await startHelper();
    const sockets: Socket[] = [];
    const outcomes = await Promise.all(
      Array.from({ length: 1_000 }, async () => {
        try {
          const socket = await open(bench.socketPath);
          sockets.push(socket);
          return "connected";
        } catch (error) {
          return (error as NodeJS.ErrnoException).code;
        }
      }),
    );
    // EAGAIN: the kernel's queue is full.
    expect(new Set([...outcomes, "connected", "EAGAIN"]).size).toBe(2);
    expect(sockets.length).toBeGreaterThan(400);
    const late = await send(bench.socketPath, hello);
    expect(late.error?.code ?? "closed").toMatch(
      /^(ERR_PRIVILEGED_BUSY|closed)$/,
    );
    for (const socket of sockets) socket.destroy();
    await vi.waitFor(async () => {
      const reply = await sendAs(ownerId, bench.socketPath, hello);
      expect(reply).toEqual(answered);
    }, 10_000);
    expect(
      bench.logger.entries.filter(({ level }) => level === "error"),
    ).toEqual([]);
  }, 30_000);

  it("are forgotten when they give up while they wait", async () => {
    const waits = noWaits();
    const bench = await startHelper({ requests: [waitRequest(waits)] });
    const sockets = await Promise.all(
      Array.from({ length: 30 }, () => open(bench.socketPath)),
    );
    for (const socket of sockets)
      socket.write(lineOf("test.wait", { ms: 20_000 }));
    await vi.waitFor(() => expect(waits.running).toBe(8));
    for (const socket of sockets) socket.destroy();
    await vi.waitFor(() => expect(requestLog(bench)).toHaveLength(30));
    // One whose turn came before its end was seen is aborted.
    expect(waits).toMatchObject({ running: 0, mostRunning: 8 });
    expect(waits.aborted).toBe(waits.settled);
    for (const { message } of requestLog(bench))
      expect(message).toBe("Request ended early");
    expect(await send(bench.socketPath, hello)).toEqual(answered);
  });
});

describe.runIf(isRoot)("the end", () => {
  it("waits for what is carried out, and takes nothing new", async () => {
    const waits = noWaits();
    const bench = await startHelper({ requests: [waitRequest(waits)] });
    const running = send(bench.socketPath, lineOf("test.wait", { ms: 500 }));
    const silent = await open(bench.socketPath);
    const silenced = replyOn(silent);
    await vi.waitFor(() => expect(waits.running).toBe(1));
    const closed = bench.server.close(10_000);
    await vi.waitFor(async () => {
      await expect(open(bench.socketPath)).rejects.toMatchObject({
        code: "ENOENT",
      });
    });
    expect(await running).toEqual({ ok: true, output: {} });
    await closed;
    expect(await silenced).toEqual({});
    expect(waits.aborted).toBe(0);
  });

  it("aborts what takes too long, and cuts it off", async () => {
    const waits = noWaits();
    const bench = await startHelper({ requests: [waitRequest(waits)] });
    const running = send(bench.socketPath, lineOf("test.wait", { ms: 20_000 }));
    await vi.waitFor(() => expect(waits.running).toBe(1));
    await bench.server.close(100);
    expect(waits).toMatchObject({ running: 0, aborted: 1, settled: 1 });
    expect(await running).toEqual({});
  });
});
