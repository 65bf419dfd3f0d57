import type { IncomingMessage } from "node:http";
import type { Duplex, Readable } from "node:stream";
import {
  InvalidValueError,
  isBangerError,
  reportError,
  type GuestCommand,
  type GuestExit,
  type GuestProcess,
  type Logger,
  type VmRecord,
} from "@banger/core";
import { z } from "zod";
import {
  Channel,
  encodeControl,
  encodeFrame,
  FrameDecoder,
  type ControlMessage,
  streamProtocol,
  type Frame,
} from "./frames.js";

const size = {
  columns: z.number().int().min(1).max(1000),
  rows: z.number().int().min(1).max(1000),
};
const startMessage = z.strictObject({
  type: z.literal("start"),
  argv: z.array(z.string()).min(1).optional(),
  cwd: z.string().startsWith("/").optional(),
  terminal: z.strictObject({ type: z.string().max(64), ...size }).optional(),
});
const laterMessage = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("eof") }),
  z.strictObject({ type: z.literal("resize"), ...size }),
]);

export interface ExecStreamOptions {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  readonly vm: VmRecord;
  readonly exec: (
    command: GuestCommand,
    signal: AbortSignal,
  ) => Promise<GuestProcess>;
}

/**
 * Serves one upgraded connection: the client's first frame says what to run, then bytes go both ways with back-pressure, until the
 * process has ended or the client leaves, which ends the process.
 */
export async function serveExecStream(
  options: ExecStreamOptions,
): Promise<void> {
  const { socket, head, logger } = options;
  const left = new AbortController();
  const signal = AbortSignal.any([left.signal, options.signal]);
  socket.on("close", () => {
    left.abort();
  });
  socket.on("error", (error) => {
    logger.debug("Stream broke", { error });
  });
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${streamProtocol}\r\n\r\n`,
  );
  if (head.length > 0) socket.unshift(head);
  let process: GuestProcess | undefined;
  try {
    const frames = readFrames(socket);
    const command = await readStart(frames);
    process = await options.exec(command, signal);
    const input = feed(frames, process, logger);
    await Promise.all([
      sendAll(process.stdout, Channel.stdout, socket),
      sendAll(process.stderr, Channel.stderr, socket),
    ]);
    const exit = await process.exit;
    socket.write(encodeControl(exitMessage(exit)));
    socket.end();
    await input;
  } catch (error) {
    if (!signal.aborted) {
      if (!isBangerError(error)) logger.error("Exec failed", { error });
      socket.write(encodeControl({ type: "error", error: reportError(error) }));
    }
    socket.end();
  } finally {
    if (signal.aborted) await process?.terminate();
  }
}

function exitMessage(exit: GuestExit): ControlMessage {
  return exit.signal === undefined
    ? { type: "exit", exitCode: exit.exitCode }
    : { type: "exit", signal: exit.signal };
}

async function* readFrames(socket: Duplex): AsyncGenerator<Frame> {
  const decoder = new FrameDecoder();
  try {
    for await (const chunk of socket as AsyncIterable<Buffer>)
      yield* decoder.push(chunk);
  } catch (error) {
    // The client left in the middle of something, which the caller learns from the abort.
    const { code } = error as NodeJS.ErrnoException;
    if (
      code !== "ECONNRESET" &&
      code !== "EPIPE" &&
      code !== "ERR_STREAM_PREMATURE_CLOSE"
    )
      throw error;
  }
}

async function readStart(frames: AsyncGenerator<Frame>): Promise<GuestCommand> {
  const { value, done } = await frames.next();
  const parsed =
    done === true || value.channel !== Channel.control
      ? undefined
      : startMessage.safeParse(parseJson(value.payload)).data;
  if (!parsed)
    throw new InvalidValueError(
      "the stream does not begin with a valid start message",
    );
  const { argv, cwd, terminal } = parsed;
  return {
    ...(argv ? { argv } : {}),
    ...(cwd === undefined ? {} : { cwd }),
    ...(terminal ? { terminal } : {}),
  };
}

/** Hands the client's frames to the process; waits whenever the process does not read. */
async function feed(
  frames: AsyncGenerator<Frame>,
  process: GuestProcess,
  logger: Logger,
): Promise<void> {
  process.stdin.on("error", (error) => {
    // A process may end without reading its input.
    logger.debug("Input of a guest process broke", { error });
  });
  try {
    for await (const { channel, payload } of frames) {
      if (channel === Channel.stdin) await write(process.stdin, payload);
      else if (channel === Channel.control) handleControl(payload, process);
    }
  } catch (error) {
    logger.warn("Client sent an invalid frame", { error });
  }
}

function handleControl(payload: Buffer, process: GuestProcess): void {
  const message = laterMessage.safeParse(parseJson(payload)).data;
  if (message?.type === "eof") process.stdin.end();
  else if (message?.type === "resize") process.resize(message);
}

function write(stdin: GuestProcess["stdin"], payload: Buffer): Promise<void> {
  if (stdin.destroyed || stdin.writableEnded || stdin.write(payload))
    return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      stdin.off("drain", done).off("close", done).off("error", done);
      resolve();
    };
    stdin.on("drain", done).on("close", done).on("error", done);
  });
}

async function sendAll(
  output: Readable,
  channel: typeof Channel.stdout | typeof Channel.stderr,
  socket: Duplex,
): Promise<void> {
  for await (const chunk of output as AsyncIterable<Buffer>) {
    if (socket.destroyed) return;
    if (!socket.write(encodeFrame(channel, chunk))) await drained(socket);
  }
}

function drained(socket: Duplex): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      socket.off("drain", done).off("close", done);
      resolve();
    };
    socket.on("drain", done).on("close", done);
    if (socket.destroyed) done();
  });
}

function parseJson(payload: Buffer): unknown {
  try {
    return JSON.parse(payload.toString("utf8"));
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
