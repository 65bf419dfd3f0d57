import { appendFileSync } from "node:fs";
import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import type { Duplex } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import type { FaultEffect, RecordedRequest } from "../settings.js";
import { ApiFault } from "./api-fault.js";
import type { RequestCheck } from "./description.js";
import type { FaultPlan } from "./fault-plan.js";
import type { Log } from "./logger.js";
import type { ApiReply, MicroVm } from "./micro-vm.js";

/** Of what a server is made. */
export interface ApiServerOptions {
  readonly id: string;
  readonly check: RequestCheck;
  readonly vm: MicroVm;
  readonly faults: FaultPlan;
  readonly log: Log;
  /** largest body, bytes */
  readonly payloadLimit: number;
  readonly delayMs: number;
  /** file that gets a line for each request */
  readonly record: string;
}

interface Answer {
  readonly status: number;
  readonly body?: unknown;
}

/** Firecracker's HTTP API on a unix socket: one request after the other, whatever the connections. */
export class ApiServer {
  readonly #options: ApiServerOptions;
  readonly #http: Server;
  #last: Promise<void> = Promise.resolve();

  constructor(options: ApiServerOptions) {
    this.#options = options;
    this.#http = createServer(
      // The real server wants none.
      { requireHostHeader: false },
      (request, response) => {
        const body = this.#read(request, response);
        this.#last = this.#last
          .then(async () => {
            const text = await body;
            if (text !== refused) await this.#serve(request, response, text);
          })
          .catch((error: unknown) => {
            options.log.line(String(error), "error", "fc_api");
            response.destroy();
          });
      },
    );
    this.#http.on("clientError", (error, socket) =>
      rejectConnection(socket, `Invalid request: ${error.message}`),
    );
    this.#http.keepAliveTimeout = 0;
    this.#http.requestTimeout = 0;
  }

  /** @throws system errors, EADDRINUSE when there is a file at the path */
  async listen(path: string): Promise<void> {
    await new Promise<void>((done, reject) => {
      this.#http.once("error", reject);
      this.#http.listen(path, () => done());
    });
  }

  async #read(
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<string | undefined> {
    const length = Number(request.headers["content-length"] ?? 0);
    const limit = this.#options.payloadLimit;
    if (length > limit) {
      rejectConnection(
        response.socket,
        `Request payload with size ${String(length)} is larger than the limit of ${String(limit)} allowed by server.`,
      );
      return refused;
    }
    if (!["GET", "PUT", "PATCH"].includes(request.method ?? "")) {
      rejectConnection(response.socket, "Invalid HTTP Method.");
      return refused;
    }
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>)
      chunks.push(chunk);
    // The real server knows bodies by their length only: what comes in chunks is no body.
    return length === 0 ? undefined : Buffer.concat(chunks).toString();
  }

  async #serve(
    request: IncomingMessage,
    response: ServerResponse,
    text: string | undefined,
  ): Promise<void> {
    const method = request.method ?? "";
    const path = (request.url ?? "").split("?")[0] ?? "";
    const fault = this.#options.faults.next(method, path);
    const record = (status: number | null): void =>
      this.#record({
        id: this.#options.id,
        pid: process.pid,
        method,
        path,
        ...(text === undefined ? {} : { body: parsed(text) }),
        status,
        ...(fault && { fault: fault.kind }),
      });
    if (fault?.kind === "crash" && fault.when === "before") {
      record(null);
      crash();
    }
    await pause(
      this.#options.delayMs + (fault?.kind === "delay" ? fault.ms : 0),
    );
    const answer =
      fault?.kind === "answer"
        ? { status: fault.status, body: { fault_message: fault.message } }
        : await this.#answer(method, path, text);
    this.#note(answer);
    const answers = fault === undefined || sendsAnswer(fault);
    record(answers ? answer.status : null);
    if (answers) await send(response, answer);
    else spoil(response, fault);
    if (fault?.kind === "crash") crash();
  }

  async #answer(
    method: string,
    path: string,
    text: string | undefined,
  ): Promise<Answer> {
    const { log, check, vm } = this.#options;
    const shown =
      text === undefined ? "" : ` with body ${JSON.stringify(text)}`;
    log.line(
      `The API server received a ${method[0] ?? ""}${method.slice(1).toLowerCase()} request on ${JSON.stringify(path)}${shown}.`,
      "info",
      "fc_api",
    );
    try {
      const reply: ApiReply = await vm.handle(check.check(method, path, text));
      return reply;
    } catch (error) {
      const status = error instanceof ApiFault ? error.status : 400;
      return { status, body: { fault_message: (error as Error).message } };
    }
  }

  #note({ status, body }: Answer): void {
    const { log } = this.#options;
    if (status < 300)
      log.line(
        `The request was executed successfully. Status code: ${String(status)}.`,
        "info",
        "fc_api",
      );
    else
      log.line(
        `Received Error. Status code: ${String(status)}. Message: ${(body as { fault_message: string }).fault_message}`,
        "error",
        "fc_api",
      );
  }

  #record(line: RecordedRequest): void {
    appendFileSync(this.#options.record, `${JSON.stringify(line)}\n`);
  }
}

/** A body that was refused before it was read. */
const refused = "\0refused";

function sendsAnswer({ kind }: FaultEffect): boolean {
  return kind === "answer" || kind === "delay" || kind === "crash";
}

async function send(response: ServerResponse, answer: Answer): Promise<void> {
  response.sendDate = false;
  const text = answer.body === undefined ? "" : JSON.stringify(answer.body);
  const headers = {
    Server: "Firecracker API",
    Connection: "keep-alive",
    ...(text === ""
      ? {}
      : {
          "Content-Type": "application/json",
          "Content-Length": String(Buffer.byteLength(text)),
        }),
  };
  response.writeHead(answer.status, headers);
  await new Promise<void>((done) => response.end(text, done));
}

/** Says something else than the answer, and hangs up. */
function spoil(response: ServerResponse, fault: FaultEffect): void {
  const socket = response.socket;
  if (fault.kind === "half-reply")
    socket?.end('HTTP/1.1 200 OK\r\nContent-Length: 4096\r\n\r\n{"fault_');
  else if (fault.kind === "garbage")
    socket?.end(Buffer.from("\0\x01\xfe this is no HTTP\r\n\r\n", "latin1"));
  else socket?.destroy();
}

/** What the real server says to what is no request that it reads: then it drops the connection. */
function rejectConnection(socket: Duplex | null, reason: string): void {
  const text = `{ "error": "${reason}\nAll previous unanswered requests will be dropped." }`;
  if (socket?.writable !== true) return;
  socket.end(
    `HTTP/1.1 400 Bad Request\r\nServer: Firecracker API\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: ${String(text.length)}\r\n\r\n${text}`,
  );
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** As if by a signal: nothing is cleaned up. */
function crash(): void {
  process.kill(process.pid, "SIGKILL");
}
