import { request as httpRequest, type IncomingMessage } from "node:http";
import { CancelledError, isBangerError } from "@banger/core";
import {
  openSocketAddress,
  type SocketAddress,
} from "../../files/socket-address.js";
import {
  FirecrackerProtocolError,
  FirecrackerTimeoutError,
  FirecrackerUnreachableError,
} from "./api-errors.js";
import type { ApiReply } from "./api-reply.js";

/** Longest body of an answer, bytes: the configuration of a VM with every device has a few thousand. */
const mostBodyBytes = 1024 * 1024;

/** Longest head of an answer, bytes; Firecracker's has some 150. */
const mostHeadBytes = 8 * 1024;

/** One HTTP request. */
interface ApiCall {
  /** of the socket, or of a link of ours to one in a jail */
  readonly socketPath: string;
  readonly method: string;
  /** absolute, encoded */
  readonly path: string;
  /** JSON; absent for a request without a body */
  readonly body?: string;
  /** longest wait for the whole answer, ms */
  readonly limitMs: number;
}

/**
 * Sends one request over a connection of its own, so that none is ever sent twice, and reads the whole answer.
 * @throws {@link FirecrackerUnreachableError} when nobody listens, {@link FirecrackerProtocolError} when the connection closes early or what
 *   comes is no HTTP or too long, {@link FirecrackerTimeoutError}, CancelledError after `signal`
 */
export async function exchange(
  call: ApiCall,
  signal: AbortSignal,
): Promise<ApiReply> {
  if (signal.aborted) throw cancellation(call, signal);
  let address: SocketAddress;
  try {
    address = await openSocketAddress(call.socketPath);
  } catch (error) {
    throw new FirecrackerUnreachableError(call.socketPath, error);
  }
  try {
    return await exchangeOver(address.path, call, signal);
  } finally {
    await address.close();
  }
}

/** @param address where to connect; errors name the path of the call */
function exchangeOver(
  address: string,
  call: ApiCall,
  signal: AbortSignal,
): Promise<ApiReply> {
  const { socketPath, method, path, body, limitMs } = call;
  const name = `${method} ${path}`;
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(cancellation(call, signal));
      return;
    }
    let connected = false;
    let settled = false;
    const request = httpRequest({
      socketPath: address,
      method,
      path,
      // Firecracker serves ten connections: an agent that keeps some open would lock others out.
      agent: false,
      maxHeaderSize: mostHeadBytes,
      headers: {
        Host: "localhost",
        Accept: "application/json",
        ...(body === undefined
          ? {}
          : {
              "Content-Type": "application/json",
              // Firecracker's server does not read chunked bodies.
              "Content-Length": Buffer.byteLength(body),
            }),
      },
    });
    const settle = (outcome: ApiReply | Error): void => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      if (outcome instanceof Error) reject(outcome);
      else resolve(outcome);
      request.destroy();
    };
    const onAbort = (): void => settle(cancellation(call, signal));
    const timer = setTimeout(
      () => settle(new FirecrackerTimeoutError(name, limitMs)),
      limitMs,
    );
    signal.addEventListener("abort", onAbort);
    const broken = (problem: string, cause?: unknown): void =>
      settle(new FirecrackerProtocolError(name, problem, { cause }));
    request.on("socket", (socket) => {
      socket.once("connect", () => (connected = true));
    });
    // It stays: a destroyed request may emit another error.
    request.on("error", (cause: NodeJS.ErrnoException) => {
      if (!connected)
        settle(new FirecrackerUnreachableError(socketPath, cause));
      else if (cause.code?.startsWith("HPE_") === true)
        broken("it is no HTTP", cause);
      else broken("the connection closed before it came", cause);
    });
    request.on("response", (response) => readBody(response, settle, broken));
    // Also what follows when it changes the protocol.
    request.on("close", () => broken("the connection closed before it came"));
    request.end(body);
  });
}

/** A reason in our own words says who cancelled, and why. */
function cancellation({ method, path }: ApiCall, signal: AbortSignal): Error {
  return isBangerError(signal.reason)
    ? signal.reason
    : new CancelledError(`${method} ${path}`, signal.reason);
}

function readBody(
  response: IncomingMessage,
  settle: (reply: ApiReply) => void,
  broken: (problem: string, cause?: unknown) => void,
): void {
  const pieces: Buffer[] = [];
  let bytes = 0;
  response.on("data", (piece: Buffer) => {
    bytes += piece.length;
    if (bytes > mostBodyBytes) broken("it is too long");
    else pieces.push(piece);
  });
  response.on("error", (cause) => broken("it ends too early", cause));
  // Only for a whole answer; one that is cut short is an error.
  response.on("end", () =>
    settle({
      // Node sets it on every answer to a request.
      status: response.statusCode ?? 0,
      body: Buffer.concat(pieces),
    }),
  );
}
