import { z } from "zod";
import { streamProtocol } from "./frames.js";
import type { Route } from "./route.js";
import { errorReport, operationEvents, vmParams } from "./schemas.js";

type Document = Readonly<Record<string, unknown>>;

/** The OpenAPI 3.1 document of the API, made from the schemas that validate. Pure. */
export function openApiDocument(
  routes: readonly Route[],
  version: string,
): Document {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) {
    const path = route.path.replaceAll(/:(\w+)/g, "{$1}");
    paths[path] = {
      ...paths[path],
      [route.method.toLowerCase()]: operation(route),
    };
  }
  paths["/v1/vms/{vm}/exec"] = { get: execStream };
  return {
    openapi: "3.1.0",
    info: {
      title: "banger",
      version,
      description: "The daemon's API on its unix socket",
    },
    paths,
  };
}

/** The one path that is no route: the connection is upgraded to frames. */
const execStream: Document = {
  summary: "Run a command or a shell in a VM over an upgraded connection",
  description: `Send \`Upgrade: ${streamProtocol}\`. Frames are one channel byte, four bytes of length (big endian) and the payload; channels are 1 stdin, 2 stdout, 3 stderr, 4 control. The client's first frame is the control message \`start\`; the daemon's last is \`exit\` or \`error\`.`,
  parameters: fields(vmParams, "path"),
  responses: {
    101: { description: "Frames follow" },
    default: { description: "Refused", content: json(errorReport) },
  },
};

function operation(route: Route): Document {
  const parameters = [
    ...fields(route.params, "path"),
    ...fields(route.query, "query"),
  ];
  return {
    summary: route.summary,
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(route.body
      ? { requestBody: { content: json(route.body, "input") } }
      : {}),
    responses: {
      200: { description: "Done", content: answer(route) },
      default: { description: "Failed", content: json(errorReport) },
    },
  };
}

function answer(route: Route): Document {
  switch (route.kind) {
    case "operation":
    case "events":
      return {
        "application/x-ndjson": {
          schema: schemaOf(operationEvents(route.answer ?? z.unknown())),
        },
      };
    case "text":
      return { "text/plain": { schema: { type: "string" } } };
    case "read":
      return json(route.answer ?? z.unknown());
  }
}

function json(schema: z.ZodType, io: "input" | "output" = "output"): Document {
  return { "application/json": { schema: schemaOf(schema, io) } };
}

function schemaOf(
  schema: z.ZodType,
  io: "input" | "output" = "output",
): Document {
  return z.toJSONSchema(schema, { io, target: "draft-2020-12" });
}

function fields(
  schema: z.ZodType | undefined,
  place: "path" | "query",
): Document[] {
  if (!schema) return [];
  const { properties = {}, required = [] } = schemaOf(schema, "input") as {
    properties?: Record<string, unknown>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, type]) => ({
    name,
    in: place,
    required: required.includes(name),
    schema: type,
  }));
}
