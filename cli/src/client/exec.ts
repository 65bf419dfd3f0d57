import type { Readable, Writable } from "node:stream";
import { ReportedError } from "@banger/core/client";
import {
  Channel,
  encodeControl,
  encodeFrame,
  FrameDecoder,
  mostFrameBytes,
  streamProtocol,
  type ControlMessage,
} from "@banger/host/client";
import type { ApiClient } from "./api-client.js";
import { printTo } from "../terminal/print-to.js";
import { DaemonGoneError, UnexpectedAnswerError } from "./client-errors.js";
import { parseErrorReport } from "./error-report.js";

export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

export interface ExecRequest {
  /** id or name */
  readonly vm: string;
  /** without it a login shell runs */
  readonly argv?: readonly string[];
  /** absolute path in the guest */
  readonly cwd?: string;
  /** gives the process a terminal, with all output on stdout */
  readonly terminal?: TerminalSize & { readonly type: string };
  /** without it the process reads an empty input */
  readonly stdin?: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** ends the process too */
  readonly signal: AbortSignal;
  /** calls back with every new size; returns what ends that */
  readonly watchSize?: (changed: (size: TerminalSize) => void) => () => void;
}

/** How the guest's process ended: one of the two is set. */
export interface ExecExit {
  readonly exitCode?: number;
  /** name of the signal without `SIG` */
  readonly signal?: string;
}

/** Path of a VM's byte stream. */
function execPath(vm: string): string {
  return `/v1/vms/${encodeURIComponent(vm)}/exec`;
}

/**
 * Runs a command in a VM and carries its bytes both ways; whoever does not read makes the other side wait.
 * @throws ReportedError, {@link DaemonGoneError}, or the signal's reason
 */
export async function execInVm(
  client: ApiClient,
  request: ExecRequest,
): Promise<ExecExit> {
  const { signal } = request;
  signal.throwIfAborted();
  const { socket, head } = await client.upgrade(
    execPath(request.vm),
    streamProtocol,
    signal,
  );
  const abort = (): void => void socket.destroy();
  signal.addEventListener("abort", abort);
  // The reading loop reports it; without a listener it would end the process.
  socket.on("error", () => undefined);
  const leave: (() => void)[] = [];
  try {
    socket.write(encodeControl(startMessage(request)));
    leave.push(pumpInput(request.stdin, socket));
    const unwatch = request.watchSize?.((size) => {
      socket.write(encodeControl({ type: "resize", ...size }));
    });
    if (unwatch) leave.push(unwatch);
    return await receive(prepend(head, socket), request);
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener("abort", abort);
    for (const undo of leave) undo();
    socket.destroy();
  }
}

function startMessage({ argv, cwd, terminal }: ExecRequest): ControlMessage {
  return {
    type: "start",
    ...(argv ? { argv } : {}),
    ...(cwd === undefined ? {} : { cwd }),
    ...(terminal ? { terminal } : {}),
  };
}

/** @returns what detaches the input, which stays open */
function pumpInput(stdin: Readable | undefined, socket: Writable): () => void {
  const end = (): void => {
    if (!socket.destroyed) socket.write(encodeControl({ type: "eof" }));
  };
  if (!stdin) {
    end();
    return () => undefined;
  }
  const resume = (): void => void stdin.resume();
  const send = (chunk: Buffer | string): void => {
    if (socket.destroyed) return;
    const bytes = Buffer.from(chunk);
    let isFull = false;
    for (let at = 0; at < bytes.length; at += mostFrameBytes) {
      const part = bytes.subarray(at, at + mostFrameBytes);
      isFull = !socket.write(encodeFrame(Channel.stdin, part));
    }
    if (isFull) {
      stdin.pause();
      socket.once("drain", resume);
    }
  };
  // An input that cannot be read, such as a closed one, is an empty one.
  stdin.on("data", send).on("end", end).on("error", end);
  if (stdin.readableEnded) end();
  return () => {
    socket.off("drain", resume);
    stdin.off("data", send).off("end", end).off("error", end);
    stdin.pause();
  };
}

async function* prepend(
  head: Buffer,
  socket: Readable,
): AsyncGenerator<Buffer> {
  if (head.length > 0) yield head;
  yield* socket as AsyncIterable<Buffer>;
}

async function receive(
  chunks: AsyncIterable<Buffer>,
  { vm, stdout, stderr, signal }: ExecRequest,
): Promise<ExecExit> {
  const decoder = new FrameDecoder();
  const what = `a command in ${vm}`;
  try {
    for await (const chunk of chunks) {
      for (const { channel, payload } of decoder.push(chunk)) {
        if (channel === Channel.stdout) await printTo(stdout, payload, signal);
        else if (channel === Channel.stderr)
          await printTo(stderr, payload, signal);
        else if (channel === Channel.control) {
          const exit = readEnd(payload, what);
          if (exit) return exit;
        }
      }
    }
  } catch (error) {
    if (error instanceof RangeError)
      throw new UnexpectedAnswerError(what, error);
    if ((error as NodeJS.ErrnoException).code === "ECONNRESET")
      throw new DaemonGoneError(what, error);
    throw error;
  }
  throw new DaemonGoneError(what);
}

/** What the message says about the end, when it is about that. */
function readEnd(payload: Buffer, what: string): ExecExit | undefined {
  let message: { type?: unknown; [key: string]: unknown };
  try {
    message = JSON.parse(payload.toString("utf8")) as typeof message;
  } catch (error) {
    throw new UnexpectedAnswerError(what, error);
  }
  const { type, exitCode, signal } = message;
  if (type === "error") {
    const report = parseErrorReport(message["error"]);
    throw report ? new ReportedError(report) : new UnexpectedAnswerError(what);
  }
  if (type !== "exit") return undefined;
  return {
    ...(typeof exitCode === "number" ? { exitCode } : {}),
    ...(typeof signal === "string" ? { signal } : {}),
  };
}
