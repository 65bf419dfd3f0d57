import type { OperationContext } from "@banger/core";
import type { z } from "zod";
import type { OperationEvent } from "./schemas.js";

/** Parts of a request, already validated. */
export interface RouteRequest<Params, Query, Body> {
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
}

interface RouteShape<
  Params extends z.ZodType,
  Query extends z.ZodType,
  Body extends z.ZodType,
> {
  readonly method: "GET" | "POST" | "PATCH" | "DELETE";
  /** in fastify's and OpenAPI's common form after `{x}` is rewritten: `/v1/vms/:vm` */
  readonly path: `/v1/${string}`;
  readonly summary: string;
  readonly params?: Params;
  readonly query?: Query;
  readonly body?: Body;
  /** what it answers with, or what its operation comes to; for the description alone */
  readonly answer?: z.ZodType;
}

/** A route that answers at once with JSON. */
export interface ReadRoute<
  Params extends z.ZodType = z.ZodType,
  Query extends z.ZodType = z.ZodType,
  Body extends z.ZodType = z.ZodType,
> extends RouteShape<Params, Query, Body> {
  readonly kind: "read";
  /** @param signal aborts when the client leaves, for what takes long */
  handle(
    request: RouteRequest<z.output<Params>, z.output<Query>, z.output<Body>>,
    signal: AbortSignal,
  ): Promise<unknown>;
}

/** A route that runs an operation: it streams progress as NDJSON and is cancelled when the client leaves. */
export interface OperationRoute<
  Params extends z.ZodType = z.ZodType,
  Query extends z.ZodType = z.ZodType,
  Body extends z.ZodType = z.ZodType,
> extends RouteShape<Params, Query, Body> {
  readonly kind: "operation";
  /** what it is called while it runs and after, such as `start web` */
  title(
    request: RouteRequest<z.output<Params>, z.output<Query>, z.output<Body>>,
  ): string | Promise<string>;
  handle(
    request: RouteRequest<z.output<Params>, z.output<Query>, z.output<Body>>,
    operation: OperationContext,
  ): Promise<unknown>;
}

/** A route that streams text until its source or its client ends. */
export interface TextRoute<
  Params extends z.ZodType = z.ZodType,
  Query extends z.ZodType = z.ZodType,
  Body extends z.ZodType = z.ZodType,
> extends RouteShape<Params, Query, Body> {
  readonly kind: "text";
  handle(
    request: RouteRequest<z.output<Params>, z.output<Query>, z.output<Body>>,
    signal: AbortSignal,
  ): Promise<AsyncIterable<string>>;
}

/** A route that streams events as NDJSON until their source or its client ends. */
export interface EventRoute<
  Params extends z.ZodType = z.ZodType,
  Query extends z.ZodType = z.ZodType,
  Body extends z.ZodType = z.ZodType,
> extends RouteShape<Params, Query, Body> {
  readonly kind: "events";
  handle(
    request: RouteRequest<z.output<Params>, z.output<Query>, z.output<Body>>,
    signal: AbortSignal,
  ): Promise<AsyncIterable<OperationEvent>>;
}

export type Route = ReadRoute | OperationRoute | TextRoute | EventRoute;

/** Checks a route's handler against its schemas and forgets their types. */
export function readRoute<
  P extends z.ZodType,
  Q extends z.ZodType,
  B extends z.ZodType,
>(route: Omit<ReadRoute<P, Q, B>, "kind">): Route {
  return { ...route, kind: "read" } as unknown as Route;
}

export function operationRoute<
  P extends z.ZodType,
  Q extends z.ZodType,
  B extends z.ZodType,
>(route: Omit<OperationRoute<P, Q, B>, "kind">): Route {
  return { ...route, kind: "operation" } as unknown as Route;
}

export function textRoute<
  P extends z.ZodType,
  Q extends z.ZodType,
  B extends z.ZodType,
>(route: Omit<TextRoute<P, Q, B>, "kind">): Route {
  return { ...route, kind: "text" } as unknown as Route;
}

export function eventRoute<
  P extends z.ZodType,
  Q extends z.ZodType,
  B extends z.ZodType,
>(route: Omit<EventRoute<P, Q, B>, "kind">): Route {
  return { ...route, kind: "events" } as unknown as Route;
}
