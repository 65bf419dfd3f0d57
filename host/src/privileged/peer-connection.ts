import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import {
  isBangerError,
  reportError,
  type AnyPrivilegedRequest,
  type BangerError,
  type CommandRunner,
  type ErrorReport,
  type Install,
  type LogFields,
  type Logger,
} from "@banger/core";
import type { Peer } from "./libc.js";
import { readOneLine, type LineProblem } from "./one-line.js";
import { pingName } from "./ping-request.js";
import {
  PrivilegedAnswerError,
  PrivilegedBusyError,
  PrivilegedProtocolError,
  PrivilegedUnknownError,
  PrivilegedVersionError,
} from "./privileged-errors.js";
import {
  encodeLine,
  mostAnswerBytes,
  mostRequestBytes,
  parseRequest,
  protocolVersion,
  requestLineMs,
  type RequestFrame,
} from "./protocol.js";
import type { PrivilegedRequests } from "./request-registry.js";
import { runRequest } from "./run-request.js";
import type { Turns } from "./turns.js";

/** How long a peer may take to read its answer, and then to go, ms. */
const readMs = 5_000;
const leaveMs = 1_000;

/** Most characters of an error's text that are handed on when the whole report is too long, and of a refusal's in the log. */
const mostMessageLength = 4_096;
const mostReasonLength = 256;

const lineProblems: Readonly<Record<LineProblem, string>> = {
  "too-long": `it is longer than ${String(mostRequestBytes)} bytes`,
  several: "something comes after its line",
  "cut-off": "its line has no end",
  late: `it did not come within ${String(requestLineMs / 1000)} s`,
};

export interface PeerConnectionOptions {
  /** paused; its errors are handled */
  readonly socket: Socket;
  readonly peer: Peer;
  readonly install: Install;
  readonly requests: PrivilegedRequests;
  readonly commands: CommandRunner;
  readonly logger: Logger;
  readonly turns: Turns;
  /** requests that may wait for a turn */
  readonly mostWaiting: number;
}

type Result = { readonly output: unknown } | { readonly error: unknown };

/** One connection to the root helper: at most one request, exactly one line in the log. */
export class PeerConnection {
  readonly #options: PeerConnectionOptions;
  readonly #abort = new AbortController();
  readonly #startedAt = performance.now();
  #frame: RequestFrame | undefined;
  #isCarriedOut = false;
  /** somebody has only looked whether there is a helper */
  #isLook = false;
  #served: Promise<void> = Promise.resolve();

  constructor(options: PeerConnectionOptions) {
    this.#options = options;
  }

  /** Says no, whatever is asked for. */
  refuse(error: BangerError): void {
    void this.#finish({ error });
  }

  /** Reads the request, carries it out and answers. Never rejects. */
  serve(): Promise<void> {
    this.#served = this.#serve();
    return this.#served;
  }

  /** Lets a request that is carried out end by itself within `graceMs`, aborts it then, and closes. */
  async end(graceMs: number): Promise<void> {
    const { socket } = this.#options;
    if (this.#isCarriedOut) {
      const given = new AbortController();
      await Promise.race([
        this.#served,
        sleep(graceMs, undefined, { signal: given.signal }).catch(
          () => undefined,
        ),
      ]);
      given.abort();
    }
    if (this.#isAnswered) return;
    // No answer: to the peer an abort would look like its own.
    socket.destroy();
    await this.#served;
  }

  get #isAnswered(): boolean {
    return this.#options.socket.writableEnded;
  }

  async #serve(): Promise<void> {
    const { socket } = this.#options;
    const onGone = (): void => {
      this.#abort.abort();
    };
    socket.on("end", onGone).on("close", onGone);
    socket.resume();
    const limits = { mostBytes: mostRequestBytes, limitMs: requestLineMs };
    const read = await readOneLine(socket, limits);
    if ("problem" in read) {
      this.#isLook = read.problem === "cut-off" && socket.bytesRead === 0;
      const error = new PrivilegedProtocolError(lineProblems[read.problem]);
      await this.#finish({ error });
      return;
    }
    const more = new PrivilegedProtocolError(lineProblems.several);
    const onMore = (): void => {
      this.#abort.abort(more);
    };
    socket.on("data", onMore);
    const { signal } = this.#abort;
    const result = await this.#carryOut(read.line).then(
      (output: unknown) => ({ output }),
      (error: unknown) => ({ error: signal.reason === more ? more : error }),
    );
    socket.off("data", onMore);
    await this.#finish(result);
  }

  async #carryOut(line: Buffer): Promise<unknown> {
    const { requests, turns, mostWaiting, install, commands, logger } =
      this.#options;
    const frame = parseRequest(line);
    if ("kind" in frame)
      throw frame.kind === "version"
        ? new PrivilegedVersionError(frame.version, protocolVersion)
        : new PrivilegedProtocolError(frame.problem);
    this.#frame = frame;
    const request: AnyPrivilegedRequest | undefined = requests.get(
      frame.request,
    );
    if (!request) throw new PrivilegedUnknownError(frame.request);
    const { signal } = this.#abort;
    const run = (): Promise<unknown> => {
      this.#isCarriedOut = true;
      return runRequest<unknown, unknown>(
        request,
        frame.input,
        { install, commands, logger: logger.child(this.#names()) },
        signal,
      );
    };
    if (request.name === pingName) return run();
    if (turns.waiting >= mostWaiting) throw new PrivilegedBusyError();
    return turns.run(request.name, signal, run);
  }

  /** Logs and answers. Resolves when the connection is closed: by the peer, or when it takes too long to. */
  async #finish(result: Result): Promise<void> {
    const { socket } = this.#options;
    const { answer, error } = this.#encode(result);
    this.#log(error);
    if (socket.destroyed) return;
    const destroy = (): void => {
      socket.destroy();
    };
    let timer = setTimeout(destroy, readMs);
    // What still comes is thrown away: a peer that cannot write any more would not read its answer either.
    socket.resume();
    socket.end(answer, () => {
      clearTimeout(timer);
      timer = setTimeout(destroy, leaveMs);
      if (socket.readableEnded) destroy();
      else socket.on("end", destroy);
    });
    await new Promise((resolve) => socket.once("close", resolve));
    clearTimeout(timer);
  }

  #encode(result: Result): {
    readonly answer: Buffer;
    readonly error?: unknown;
  } {
    if ("error" in result) return encodeError(result.error);
    const name = this.#frame?.request ?? "";
    try {
      const answer = encodeLine({ ok: true, output: result.output });
      if (answer.length <= mostAnswerBytes) return { answer };
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      return encodeError(
        new PrivilegedAnswerError(name, "cannot be written as JSON", error),
      );
    }
    return encodeError(new PrivilegedAnswerError(name, "is too long"));
  }

  #log(error: unknown): void {
    const { logger, peer } = this.#options;
    const fields: LogFields = {
      ...this.#names(),
      pid: peer.pid,
      uid: peer.uid,
      durationMs: Math.round(performance.now() - this.#startedAt),
    };
    if (error === undefined) {
      logger.info("Request carried out", { ...fields, code: "ok" });
      return;
    }
    const { code, kind, message } = reportError(error);
    if (this.#isLook)
      logger.debug("Connection without a request", { ...fields, code });
    else if (kind === "cancelled")
      logger.info("Request ended early", { ...fields, code });
    else if (this.#isCarriedOut && kind === "failed")
      logger.error("Request failed", { ...fields, code, error });
    else
      logger.warn("Request refused", {
        ...fields,
        code,
        reason: message.slice(0, mostReasonLength),
      });
  }

  #names(): LogFields {
    const { request, operationId } = this.#frame ?? {};
    return {
      ...(request === undefined ? {} : { request }),
      ...(operationId === undefined ? {} : { operation: operationId }),
    };
  }
}

function encodeError(error: unknown): { answer: Buffer; error: unknown } {
  const report = reportError(error);
  const told: ErrorReport = isBangerError(error)
    ? report
    : {
        ...report,
        hint: "This is a bug in banger; `journalctl -u banger-root` has the stack",
      };
  const answer = encodeLine({ error: told });
  if (answer.length <= mostAnswerBytes) return { answer, error };
  const { details: _, ...rest } = told;
  const message = told.message.slice(0, mostMessageLength);
  return { answer: encodeLine({ error: { ...rest, message } }), error };
}
