import { chmod, rm } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { Readable } from "node:stream";
import {
  BangerError,
  InvalidValueError,
  nearestName,
  reportError,
  withAnySignal,
  type ErrorKind,
  type GuestSsh,
  type Logger,
  type OperationRegistry,
  type VmService,
} from "@banger/core";
import fastify, {
  type FastifyInstance,
  type FastifyServerOptions,
} from "fastify";
import { z } from "zod";
import { asDiskFull } from "../files/disk-full.js";
import type { Activity } from "./activity.js";
import { buildHeader } from "./build-header.js";
import { serveExecStream } from "./exec-stream.js";
import { streamProtocol } from "./frames.js";
import { openApiDocument } from "./openapi.js";
import { streamOperation } from "./operation-stream.js";
import type { Route } from "./route.js";

const httpStatus: Readonly<Record<ErrorKind, number>> = {
  usage: 400,
  "not-found": 404,
  conflict: 409,
  unavailable: 503,
  cancelled: 499,
  failed: 500,
};

/** A client of ours replaces the daemon then, and asks again. */
class DaemonOutdatedError extends BangerError {
  override readonly code = "ERR_DAEMON_OUTDATED";
  override readonly kind = "conflict";
  constructor(reason: string) {
    super(reason, {
      hint: "Replace it: banger daemon stop; the next command starts the new one",
    });
  }
}

class RouteNotFoundError extends BangerError {
  override readonly code = "ERR_ROUTE_NOT_FOUND";
  override readonly kind = "not-found";
}

export interface ApiServerOptions {
  readonly routes: readonly Route[];
  readonly version: string;
  /** identifies the code that runs; another build's client gets an idle daemon replaced */
  readonly build: string;
  readonly socketPath: string;
  readonly logger: Logger;
  /** is the configuration that this daemon read out of date? */
  readonly configChanged: () => boolean;
  readonly operations: OperationRegistry;
  readonly activity: Activity;
  readonly vmService: VmService;
  readonly guestSsh: GuestSsh;
}

/** fastify types these after ajv and fast-json-stringify, which are not loaded. */
const compilersFactory = {
  buildValidator: () => (route: { schema: z.ZodType }) => (value: unknown) =>
    validate(route.schema, value),
  buildSerializer: () => () => (value: unknown) => JSON.stringify(value),
} as unknown as NonNullable<
  NonNullable<FastifyServerOptions["schemaController"]>["compilersFactory"]
>;

/** The API: HTTP on a unix socket that only its owner may open. */
export class ApiServer {
  readonly #options: ApiServerOptions;
  readonly #app: FastifyInstance;
  readonly #closing = new AbortController();

  constructor(options: ApiServerOptions) {
    this.#options = options;
    this.#app = fastify({
      forceCloseConnections: true,
      bodyLimit: 1024 * 1024,
      // Ours validates with zod and answers in plain JSON: fastify's own compilers would cost ten megabytes for nothing.
      schemaController: { compilersFactory },
    });
    const { routes, version, build } = options;
    this.#app.setErrorHandler(async (error, _request, reply) => {
      const report = reportError(
        toBangerError(asDiskFull("the request", error)),
      );
      if (report.code === "ERR_INTERNAL")
        options.logger.error("Request failed", { error });
      await reply.status(httpStatus[report.kind]).send(report);
    });
    this.#app.setNotFoundHandler((request) => {
      throw new RouteNotFoundError(
        `there is nothing at ${request.method} ${request.url}`,
        {
          hint: "GET /v1/openapi.json lists what there is",
        },
      );
    });
    this.#app.addHook("onRequest", async (request, reply) => {
      reply.header(buildHeader, build);
      if (request.url !== "/v1/daemon/stop") this.#refuseOtherBuild(request);
    });
    // Made when somebody asks, which is rare: an idle daemon does without it.
    this.#app.get("/v1/openapi.json", () => openApiDocument(routes, version));
    for (const route of routes) this.#add(route);
    this.#app.server.on("upgrade", (request, socket, head) => {
      void this.#upgrade(request, socket, head);
    });
  }

  /** Listens; nobody but the owner may connect, from the socket's first moment when its directory has mode 0700, as it must. */
  async listen(): Promise<void> {
    const { socketPath } = this.#options;
    await rm(socketPath, { force: true });
    // Its directory is closed to others, so nobody else can reach it before it is closed itself; a umask would be the whole process's.
    await this.#app.listen({ path: socketPath });
    await chmod(socketPath, 0o600);
  }

  /** Ends open streams, then the socket. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#app.close();
  }

  /** A client of another build gets an idle daemon replaced, whatever it asks for. @throws DaemonOutdatedError */
  #refuseOtherBuild({ headers }: Pick<IncomingMessage, "headers">): void {
    const { build, activity } = this.#options;
    const client = headers[buildHeader];
    if (typeof client !== "string" || !activity.isIdle) return;
    if (client !== build)
      throw new DaemonOutdatedError(
        `this daemon is build ${build}, the client is ${client}`,
      );
    if (this.#options.configChanged())
      throw new DaemonOutdatedError(
        "the configuration file has changed since this daemon read it",
      );
  }

  #add(route: Route): void {
    const schema = {
      ...(route.params ? { params: route.params } : {}),
      ...(route.query ? { querystring: route.query } : {}),
      ...(route.body ? { body: route.body } : {}),
    };
    const { operations, build } = this.#options;
    this.#app.route({
      method: route.method,
      url: route.path,
      schema,
      handler: async (request, reply) => {
        const { params, query, body } = request;
        const input = { params, query, body };
        switch (route.kind) {
          case "read":
            return route.handle(input, this.#untilLeft(reply.raw));
          case "operation": {
            const what = await route.title(input);
            reply.hijack();
            reply.raw.setHeader(buildHeader, build);
            await streamOperation(reply.raw, {
              operations,
              what,
              vm: (params as { vm?: string } | undefined)?.vm,
              work: (operation) => route.handle(input, operation),
            });
            return reply;
          }
          case "text": {
            const text = await route.handle(input, this.#untilLeft(reply.raw));
            return reply
              .type("text/plain; charset=utf-8")
              .send(Readable.from(text));
          }
          case "events": {
            const events = await route.handle(
              input,
              this.#untilLeft(reply.raw),
            );
            return reply
              .type("application/x-ndjson")
              .header("cache-control", "no-store")
              .send(Readable.from(asLines(events)));
          }
        }
      },
    });
  }

  /** Aborts when the client leaves or the server closes. */
  #untilLeft(response: ServerResponse): AbortSignal {
    const left = new AbortController();
    // Not `AbortSignal.any`: in Node 20 a signal never forgets those that were made from it.
    const { signal } = this.#closing;
    const leave = (): void => {
      left.abort();
    };
    signal.addEventListener("abort", leave);
    response.on("close", () => {
      signal.removeEventListener("abort", leave);
      leave();
    });
    if (signal.aborted || response.destroyed) leave();
    return left.signal;
  }

  async #upgrade(
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
  ): Promise<void> {
    const { vmService, guestSsh, activity, logger } = this.#options;
    const refuse = (status: string, error: unknown): void => {
      const body = JSON.stringify(reportError(error));
      // A client that keeps its side open must not keep the daemon from ending.
      socket.end(
        `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${String(Buffer.byteLength(body))}\r\nConnection: close\r\n\r\n${body}`,
        () => socket.destroy(),
      );
    };
    socket.on("error", (error) => {
      logger.debug("Upgraded connection broke", { error });
    });
    const reference = /^\/v1\/vms\/([^/?]+)\/exec$/.exec(
      request.url ?? "",
    )?.[1];
    if (reference === undefined || request.headers.upgrade !== streamProtocol) {
      refuse(
        "404 Not Found",
        new RouteNotFoundError("there is no such stream"),
      );
      return;
    }
    try {
      this.#refuseOtherBuild(request);
      const vm = await vmService.getRunning(decode(reference));
      const abort = new AbortController();
      const ended = activity.beginSession(vm.id, abort);
      try {
        await withAnySignal([abort.signal, this.#closing.signal], (signal) =>
          serveExecStream({
            request,
            socket,
            head,
            vm,
            logger: logger.child({ vmId: vm.id }),
            signal,
            exec: (command, given) => guestSsh.exec(vm, command, given),
          }),
        );
      } finally {
        ended();
      }
    } catch (error) {
      const { kind } = reportError(error);
      if (kind === "failed") logger.error("Exec stream failed", { error });
      refuse(`${String(httpStatus[kind])} Refused`, error);
    }
  }
}

async function* asLines(
  events: AsyncIterable<unknown>,
): AsyncGenerator<string> {
  for await (const event of events) yield `${JSON.stringify(event)}\n`;
}

function decode(component: string): string {
  try {
    return decodeURIComponent(component);
  } catch (error) {
    if (!(error instanceof URIError)) throw error;
    throw new InvalidValueError(
      `${JSON.stringify(component)} is no part of a URL`,
    );
  }
}

/** In fastify's form: the value, or the error. */
function validate(
  schema: z.ZodType,
  value: unknown,
): { value: unknown } | { error: Error } {
  // fastify's word for a request without a body is null.
  const parsed = schema.safeParse(value ?? undefined);
  if (parsed.success) return { value: parsed.data };
  const issue = parsed.error.issues[0];
  const where = issue?.path.join(".") ?? "";
  if (issue?.code === "unrecognized_keys") {
    const [key = ""] = issue.keys;
    const known =
      schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
    const nearest = nearestName(key, known);
    return {
      error: new InvalidValueError(`unknown field ${JSON.stringify(key)}`, {
        hint:
          nearest === undefined
            ? `Known: ${known.join(", ")}`
            : `Did you mean ${nearest}?`,
      }),
    };
  }
  const prefix = where === "" ? "" : `${where}: `;
  return {
    error: new InvalidValueError(`${prefix}${issue?.message ?? "not valid"}`),
  };
}

/** fastify's own refusals (body too large, no JSON) are the client's mistakes; the rest stays what it is. */
function toBangerError(error: unknown): unknown {
  const { statusCode, code } = error as { statusCode?: number; code?: string };
  const isFastify = code?.startsWith("FST_") ?? false;
  if (!isFastify || statusCode === undefined || statusCode >= 500) return error;
  return new InvalidValueError(
    error instanceof Error ? error.message : String(error),
    {
      cause: error,
    },
  );
}
