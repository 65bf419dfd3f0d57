import type { IncomingMessage } from "node:http";
import type { Duplex, Readable } from "node:stream";
import {
  CancelledError,
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
import { parseJson } from "../files/parse-json.js";
import {
  Channel,
  encodeControl,
  encodeFrame,
  FrameDecoder,
  type ControlMessage,
  mostFrameBytes,
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

/** How long a client has to close the connection after the last frame, ms. */
const lingerMs = 2_000;
/** How often a client is looked for that sends more than its process reads, ms. */
const probeMs = 1_000;
const noBytes = Buffer.alloc(0);

export interface ExecStreamOptions {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
  readonly logger: Logger;
  /** ends the session: the daemon goes */
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
  const frames = readFrames(socket);
  const ended = aborted(signal);
  let guest: GuestProcess | undefined;
  try {
    const command = await Promise.race([readStart(frames), ended.promise]);
    guest = await options.exec(command, signal);
    const { exit, stdout, stderr } = guest;
    // Looked at below; until then a broken connection is no unhandled rejection.
    exit.catch(() => undefined);
    const outputs = Promise.all([
      sendAll(stdout, Channel.stdout, socket),
      sendAll(stderr, Channel.stderr, socket),
    ]).then(() => exit);
    outputs.catch(() => undefined);
    const input = feed(frames, guest, socket, logger);
    const status = await Promise.race([outputs, input, ended.promise]);
    finish(socket, exitMessage(status));
  } catch (error) {
    if (!isBangerError(error)) logger.error("Exec failed", { error });
    finish(socket, { type: "error", error: reportError(error) });
    // Also after a failure of the stream itself: nobody could read what the process still says.
    await guest?.terminate().catch((leftover: unknown) => {
      logger.warn("Guest process could not be ended", { error: leftover });
    });
  } finally {
    ended.forget();
    void frames.return(undefined);
  }
  await closed(socket);
}

/** A promise that rejects when `signal` aborts. */
function aborted(signal: AbortSignal): {
  readonly promise: Promise<never>;
  forget(): void;
} {
  let onAbort = (): void => undefined;
  const promise = new Promise<never>((_, reject) => {
    onAbort = () => {
      reject(new CancelledError("the session"));
    };
  });
  promise.catch(() => undefined);
  signal.addEventListener("abort", onAbort);
  if (signal.aborted) onAbort();
  return {
    promise,
    forget: () => {
      signal.removeEventListener("abort", onAbort);
    },
  };
}

/** Sends the last frame; a client that does not close in time is cut off. */
function finish(socket: Duplex, message: ControlMessage): void {
  if (socket.destroyed) return;
  socket.end(encodeControl(message));
  const timer = setTimeout(() => socket.destroy(), lingerMs);
  socket.once("close", () => {
    clearTimeout(timer);
  });
}

function closed(socket: Duplex): Promise<void> {
  if (socket.closed) return Promise.resolve();
  return new Promise((resolve) => {
    socket.once("close", resolve);
    // Whatever the client still sends is thrown away, so that its end is seen.
    socket.resume();
  });
}

function exitMessage(exit: GuestExit): ControlMessage {
  return exit.signal === undefined
    ? { type: "exit", exitCode: exit.exitCode }
    : { type: "exit", signal: exit.signal };
}

async function* readFrames(socket: Duplex): AsyncGenerator<Frame, undefined> {
  const decoder = new FrameDecoder();
  try {
    // Not destroyed at the end: the last frame for the client may be on its way.
    const chunks = socket.iterator({ destroyOnReturn: false });
    for await (const chunk of chunks) yield* push(decoder, chunk as Buffer);
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

/** @throws InvalidValueError for a frame that is too large */
function push(decoder: FrameDecoder, chunk: Buffer): Frame[] {
  try {
    return decoder.push(chunk);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new InvalidValueError(`the stream is not valid: ${error.message}`);
  }
}

async function readStart(
  frames: AsyncGenerator<Frame, undefined>,
): Promise<GuestCommand> {
  const first: IteratorResult<Frame, undefined> = await frames.next();
  const parsed =
    first.done === true || first.value.channel !== Channel.control
      ? undefined
      : startMessage.safeParse(parseJson(first.value.payload.toString())).data;
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

/**
 * Hands the client's frames to the process; waits whenever the process does not read. A client that closes its side has left: on a unix
 * socket that cannot be told from its death.
 * @throws CancelledError when the client leaves, InvalidValueError for what is no frame
 */
async function feed(
  frames: AsyncGenerator<Frame, undefined>,
  process: GuestProcess,
  socket: Duplex,
  logger: Logger,
): Promise<never> {
  process.stdin.on("error", (error) => {
    // A process may end without reading its input.
    logger.debug("Input of a guest process broke", { error });
  });
  for await (const { channel, payload } of frames) {
    if (channel === Channel.stdin) await write(process.stdin, payload, socket);
    else if (channel === Channel.control) handleControl(payload, process);
  }
  throw new CancelledError("the session", new Error("the client left"));
}

function handleControl(payload: Buffer, process: GuestProcess): void {
  const message = laterMessage.safeParse(parseJson(payload.toString())).data;
  if (message?.type === "eof") process.stdin.end();
  else if (message?.type === "resize") process.resize(message);
}

function write(
  stdin: GuestProcess["stdin"],
  payload: Buffer,
  socket: Duplex,
): Promise<void> {
  if (stdin.destroyed || stdin.writableEnded || stdin.write(payload))
    return Promise.resolve();
  return new Promise((resolve) => {
    // While nothing is read from the client its end goes unnoticed; an empty frame finds out.
    const probe = setInterval(() => {
      if (socket.writable) socket.write(encodeFrame(Channel.stderr, noBytes));
    }, probeMs);
    const done = (): void => {
      clearInterval(probe);
      socket.off("close", done);
      stdin.off("drain", done).off("close", done).off("error", done);
      resolve();
    };
    socket.on("close", done);
    stdin.on("drain", done).on("close", done).on("error", done);
    if (socket.destroyed) done();
  });
}

async function sendAll(
  output: Readable,
  channel: typeof Channel.stdout | typeof Channel.stderr,
  socket: Duplex,
): Promise<void> {
  for await (const chunk of output as AsyncIterable<Buffer>) {
    // A process that prints faster than the client reads fills its stream's buffer, which comes as one chunk.
    for (let at = 0; at < chunk.length; at += mostFrameBytes) {
      if (!socket.writable) return;
      const part = chunk.subarray(at, at + mostFrameBytes);
      if (!socket.write(encodeFrame(channel, part))) await drained(socket);
    }
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
