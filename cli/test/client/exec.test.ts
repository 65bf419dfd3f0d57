import { createHash, randomBytes } from "node:crypto";
import type { Duplex } from "node:stream";
import { PassThrough, Readable } from "node:stream";
import {
  Channel,
  encodeControl,
  encodeFrame,
  FrameDecoder,
  type Frame,
} from "@banger/host/client";
import { describe, expect, it } from "vitest";
import { ApiClient } from "../../src/client/api-client.js";
import { execInVm, type TerminalSize } from "../../src/client/exec.js";
import { exitStatus } from "../../src/terminal/session.js";
import { startFakeDaemon } from "../fake-daemon.js";
import { temporaryDirectory } from "../temporary-directory.js";

type Guest = (frame: Frame, socket: Duplex) => void;

async function exec(
  guest: Guest,
  options: {
    stdin?: Readable;
    signal?: AbortSignal;
    watchSize?: (changed: (size: TerminalSize) => void) => () => void;
    onEnd?: () => void;
  } = {},
) {
  const home = await temporaryDirectory();
  const { socketPath } = await startFakeDaemon(home, {}, (socket) => {
    const decoder = new FrameDecoder();
    socket.on("data", (chunk: Buffer) => {
      for (const frame of decoder.push(chunk)) guest(frame, socket);
    });
    socket.on("error", () => undefined);
    socket.on("end", () => options.onEnd?.());
  });
  const out = collect();
  const err = collect();
  const { stdin, watchSize } = options;
  const exit = await execInVm(new ApiClient({ socketPath }), {
    vm: "web",
    argv: ["cat"],
    stdout: out.stream,
    stderr: err.stream,
    signal: options.signal ?? new AbortController().signal,
    ...(stdin ? { stdin } : {}),
    ...(watchSize ? { watchSize } : {}),
  });
  return { exit, out: out.bytes(), err: err.bytes() };
}

function collect(): { stream: PassThrough; bytes: () => Buffer } {
  const stream = new PassThrough();
  const chunks: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  return { stream, bytes: () => Buffer.concat(chunks) };
}

const control = ({ payload }: Frame): { type: string } =>
  JSON.parse(payload.toString()) as { type: string };

describe("execInVm", () => {
  it("says first what to run, and keeps the two outputs apart", async () => {
    let first: unknown;
    const { exit, out, err } = await exec((frame, socket) => {
      first ??= control(frame);
      if (control(frame).type !== "eof") return;
      socket.write(encodeFrame(Channel.stdout, Buffer.from("out")));
      socket.write(encodeFrame(Channel.stderr, Buffer.from("err")));
      socket.end(encodeControl({ type: "exit", exitCode: 7 }));
    });
    expect(first).toEqual({ type: "start", argv: ["cat"] });
    expect([exit, out.toString(), err.toString()]).toEqual([
      { exitCode: 7 },
      "out",
      "err",
    ]);
  });

  it("carries megabytes both ways unharmed", async () => {
    const sent = randomBytes(5_000_000);
    const received = createHash("sha256");
    const { out } = await exec(
      (frame, socket) => {
        if (frame.channel === Channel.stdin) {
          received.update(frame.payload);
          socket.write(encodeFrame(Channel.stdout, frame.payload));
        } else if (control(frame).type === "eof") {
          socket.end(encodeControl({ type: "exit", exitCode: 0 }));
        }
      },
      { stdin: Readable.from([sent]) },
    );
    const digest = createHash("sha256").update(sent).digest("hex");
    expect(received.digest("hex")).toBe(digest);
    expect(createHash("sha256").update(out).digest("hex")).toBe(digest);
  });

  it("ends although its own input stays open", async () => {
    const stdin = new PassThrough();
    const { exit } = await exec(
      (_frame, socket) => {
        socket.end(encodeControl({ type: "exit", exitCode: 0 }));
      },
      { stdin },
    );
    expect(exit.exitCode).toBe(0);
    expect(stdin.listenerCount("data")).toBe(0);
  });

  it("sends new sizes and stops watching at the end", async () => {
    let isWatching = true;
    const { exit } = await exec(
      (frame, socket) => {
        if (control(frame).type === "resize") {
          expect(control(frame)).toEqual({
            type: "resize",
            columns: 90,
            rows: 20,
          });
          socket.end(encodeControl({ type: "exit", signal: "TERM" }));
        }
      },
      {
        watchSize: (changed) => {
          changed({ columns: 90, rows: 20 });
          return () => {
            isWatching = false;
          };
        },
      },
    );
    expect(exit).toEqual({ signal: "TERM" });
    expect(exitStatus(exit)).toBe(143);
    expect(isWatching).toBe(false);
  });

  it("throws what the daemon reports", async () => {
    const error = { code: "ERR_SSH", kind: "unavailable", message: "no" };
    const failing = exec((_frame, socket) => {
      socket.end(encodeControl({ type: "error", error }));
    });
    await expect(failing).rejects.toMatchObject({ code: "ERR_SSH" });
  });

  it("notices a connection that ends without an exit", async () => {
    const cut = exec((_frame, socket) => {
      socket.end(encodeFrame(Channel.stdout, Buffer.from("half")));
    });
    await expect(cut).rejects.toMatchObject({ code: "ERR_DAEMON_GONE" });
    const broken = exec((_frame, socket) => {
      socket.write(Buffer.from([2, 0xff, 0xff, 0xff, 0xff]));
    });
    await expect(broken).rejects.toMatchObject({
      code: "ERR_UNEXPECTED_ANSWER",
    });
  });

  it("closes the connection when it is interrupted", async () => {
    const abort = new AbortController();
    const reason = new Error("ctrl-c");
    let ended = (): void => undefined;
    const closed = new Promise<void>((resolve) => {
      ended = resolve;
    });
    const running = exec(() => abort.abort(reason), {
      signal: abort.signal,
      onEnd: () => ended(),
    });
    await expect(running).rejects.toBe(reason);
    await closed;
  });
});
