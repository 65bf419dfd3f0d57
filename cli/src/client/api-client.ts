import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { ReportedError } from "@banger/core/client";
import { buildHeader, type OperationEvent } from "@banger/host/client";
import {
  DaemonGoneError,
  DaemonUnreachableError,
  UnexpectedAnswerError,
} from "./client-errors.js";
import { Departure } from "./departure.js";
import { parseErrorReport, parseErrorReportText } from "./error-report.js";
import {
  readBody,
  sendHttp,
  type HttpAnswer,
  type HttpRequest,
} from "./http.js";
import { readOperationEvents } from "./operation-events.js";

/** How the client brings the daemon about. */
export interface DaemonControl {
  /** starts the daemon unless it runs; resolves when it answers */
  start(signal?: AbortSignal): Promise<void>;
  /** waits until the process has ended */
  ended(pid: number, signal?: AbortSignal): Promise<void>;
}

export interface ApiClientOptions {
  readonly socketPath: string;
  /** the build to ask for; without it any daemon is fine */
  readonly build?: string;
  /** without it a daemon that does not run is an error */
  readonly control?: DaemonControl;
  /** thrown when the daemon is of another build, for a daemon that is not ours to replace by one of our build */
  readonly outdated?: Error;
  /** how long an interrupted operation may clean up before its client leaves, ms; default 15 s */
  readonly cleanUpLimitMs?: number;
}

export interface OperationOptions {
  readonly body?: unknown;
  readonly onEvent?: (event: OperationEvent) => void;
  /** cancels the operation in the daemon too and waits, a while, until it has cleaned up; one that is only followed is left */
  readonly signal?: AbortSignal;
  /** called when the cancellation is asked for */
  readonly onCancel?: () => void;
}

/** What an operation came to. */
export interface OperationResult<T> {
  readonly value: T;
  readonly elapsedMs: number;
}

/** An upgraded connection. */
export interface ByteStream {
  readonly socket: Duplex;
  /** bytes that came with the answer */
  readonly head: Buffer;
}

/**
 * The daemon's API. Starts the daemon when it does not run, and replaces an idle one of another build. Every method throws a
 * ReportedError for what the daemon refuses, and what the signal gives as its reason after an abort.
 */
export class ApiClient {
  readonly #options: ApiClientOptions;

  constructor(options: ApiClientOptions) {
    this.#options = options;
  }

  /** JSON from a route that answers at once. */
  async read<T>(
    path: string,
    options: {
      readonly method?: "GET" | "POST" | "DELETE";
      readonly signal?: AbortSignal;
    } = {},
  ): Promise<T> {
    const { method = "GET", signal } = options;
    const request = { method, path, ...(signal ? { signal } : {}) };
    const response = await this.#response(request);
    return this.#during(request, async () => {
      return parseJson(await readBody(response), request) as T;
    });
  }

  /** Runs an operation to its result; with GET, follows one. */
  async operation<T>(
    method: "GET" | "POST" | "PATCH" | "DELETE",
    path: string,
    options: OperationOptions = {},
  ): Promise<OperationResult<T>> {
    const { body, signal, onEvent, onCancel } = options;
    const departure = new Departure({
      wish: signal,
      cancel: (id, connection) => this.#cancel(id, connection),
      limitMs: this.#options.cleanUpLimitMs ?? 15_000,
    });
    const request = {
      method,
      path,
      ...(body === undefined ? {} : { body }),
      signal: departure.connection,
    };
    try {
      const result = await this.#result<T>(request, (event) => {
        if (event.type === "begin" && method !== "GET")
          departure.begun(event.operationId, () => onCancel?.());
        onEvent?.(event);
      });
      signal?.throwIfAborted();
      return result;
    } catch (error) {
      // Whatever the operation came to: it was to end.
      signal?.throwIfAborted();
      throw error;
    } finally {
      departure.end();
    }
  }

  async #result<T>(
    request: HttpRequest,
    onEvent: (event: OperationEvent) => void,
  ): Promise<OperationResult<T>> {
    const response = await this.#response(request);
    const result = await this.#during(request, async () => {
      for await (const event of readOperationEvents(response)) {
        onEvent(event);
        if (event.type === "error") {
          const report = parseErrorReport(event.error);
          throw report
            ? new ReportedError(report)
            : new UnexpectedAnswerError(nameOf(request));
        }
        if (event.type === "result")
          return { value: event.value as T, elapsedMs: event.elapsedMs };
      }
      return undefined;
    });
    if (!result) throw new DaemonGoneError(nameOf(request));
    return result;
  }

  /** Asks the daemon that answers now: another one knows nothing of the operation. */
  async #cancel(id: string, signal: AbortSignal): Promise<void> {
    const path = `/v1/operations/${encodeURIComponent(id)}`;
    const answer = await this.#sendOnce({ method: "DELETE", path, signal });
    if (answer.kind === "response") answer.response.resume();
  }

  /** Bytes of a text as they come. */
  async *text(path: string, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    const request = { method: "GET", path, ...(signal ? { signal } : {}) };
    const response = await this.#response(request);
    try {
      for await (const chunk of response as AsyncIterable<Buffer>) yield chunk;
    } catch (error) {
      throw explain(error, request);
    }
  }

  /** A connection that speaks `protocol` from then on. */
  async upgrade(
    path: string,
    protocol: string,
    signal?: AbortSignal,
  ): Promise<ByteStream> {
    const request = {
      method: "GET",
      path,
      headers: { connection: "Upgrade", upgrade: protocol },
      ...(signal ? { signal } : {}),
    };
    const answer = await this.#send(request);
    if (answer.kind === "upgraded") return answer;
    answer.response.resume();
    throw new UnexpectedAnswerError(nameOf(request));
  }

  async #response(request: HttpRequest): Promise<IncomingMessage> {
    const answer = await this.#send(request);
    if (answer.kind === "response") return answer.response;
    answer.socket.destroy();
    throw new UnexpectedAnswerError(nameOf(request));
  }

  /** The answer to a request that was accepted; brings the right daemon about at most once each. */
  async #send(request: HttpRequest): Promise<HttpAnswer> {
    const { control } = this.#options;
    let mayStart = control !== undefined;
    let mayReplace = control !== undefined;
    for (;;) {
      try {
        return await this.#sendOnce(request);
      } catch (error) {
        if (control && mayStart && isAbsent(error)) {
          mayStart = false;
          await control.start(request.signal);
        } else if (this.#options.outdated && isOutdated(error)) {
          throw this.#options.outdated;
        } else if (control && mayReplace && isOutdated(error)) {
          mayReplace = false;
          await this.#replace(control, request.signal);
        } else {
          throw explain(error, request, this.#options.socketPath);
        }
      }
    }
  }

  async #sendOnce(request: HttpRequest): Promise<HttpAnswer> {
    const { socketPath, build } = this.#options;
    const headers = {
      ...(build === undefined ? {} : { [buildHeader]: build }),
      ...request.headers,
    };
    const answer = await sendHttp(socketPath, { ...request, headers });
    if (answer.kind === "upgraded") return answer;
    const { statusCode = 0 } = answer.response;
    if (statusCode < 400) return answer;
    const report = parseErrorReportText(await readBody(answer.response));
    throw report
      ? new ReportedError(report)
      : new UnexpectedAnswerError(nameOf(request));
  }

  async #replace(control: DaemonControl, signal?: AbortSignal): Promise<void> {
    try {
      const stop = { method: "POST", path: "/v1/daemon/stop" };
      const answer = await this.#sendOnce(stop);
      if (answer.kind === "response") {
        const text = await readBody(answer.response);
        const { pid } = parseJson(text, stop) as { pid?: unknown };
        if (typeof pid === "number") await control.ended(pid, signal);
      }
    } catch (error) {
      // Somebody else has just stopped it.
      if (!isAbsent(error) && !isBroken(error)) throw error;
    }
    await control.start(signal);
  }

  async #during<T>(request: HttpRequest, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw explain(error, request);
    }
  }
}

function nameOf({ method, path }: HttpRequest): string {
  return `${method} ${path}`;
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException | undefined)?.code;
}

function isAbsent(error: unknown): boolean {
  const code = codeOf(error);
  // ENOTDIR: a file is where a directory should be. Who starts the daemon then reads which.
  return code === "ENOENT" || code === "ENOTDIR" || code === "ECONNREFUSED";
}

function isBroken(error: unknown): boolean {
  const code = codeOf(error);
  return (
    code === "ECONNRESET" ||
    code === "EPIPE" ||
    code === "ERR_STREAM_PREMATURE_CLOSE"
  );
}

function isOutdated(error: unknown): boolean {
  return codeOf(error) === "ERR_DAEMON_OUTDATED";
}

/** What the user sees instead of a socket's error. */
function explain(
  error: unknown,
  request: HttpRequest,
  socketPath = "",
): unknown {
  const { signal } = request;
  if (signal?.aborted) return signal.reason;
  if (isAbsent(error)) return new DaemonUnreachableError(socketPath, error);
  if (isBroken(error)) return new DaemonGoneError(nameOf(request), error);
  if (error instanceof SyntaxError)
    return new UnexpectedAnswerError(nameOf(request), error);
  return error;
}

function parseJson(text: string, request: HttpRequest): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UnexpectedAnswerError(nameOf(request), error);
  }
}
