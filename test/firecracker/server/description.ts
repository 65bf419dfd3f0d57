import { Ajv, type ValidateFunction } from "ajv";
import { isAtLeast } from "../settings.js";
import { ApiFault } from "./api-fault.js";
import { bodyProblem } from "./body-problem.js";

type Schema = Readonly<Record<string, unknown>>;

interface DescribedParameter {
  readonly name: string;
  readonly in: string;
  readonly required?: boolean;
  readonly schema?: Schema;
}

interface DescribedOperation {
  readonly operationId: string;
  readonly parameters?: readonly DescribedParameter[];
}

/** The part of the OpenAPI 2 description that a server needs. */
export interface ApiDescription {
  readonly paths: Readonly<
    Record<string, Readonly<Record<string, DescribedOperation>>>
  >;
  readonly definitions: Readonly<Record<string, Schema>>;
}

/** One path and verb of the description. */
interface Route {
  readonly operationId: string;
  readonly method: string;
  /** such as `/drives/{drive_id}` */
  readonly path: string;
}

/** A request that fits the description. */
export interface ValidRequest {
  readonly route: Route;
  /** from the path; also in the body, where it is the same */
  readonly resourceId: string | undefined;
  readonly body: unknown;
}

interface CompiledRoute extends Route {
  readonly pattern: RegExp;
  readonly idField: string | undefined;
  readonly takesBody: boolean;
  readonly needsBody: boolean;
  readonly validate: ValidateFunction | undefined;
}

/** Since which version a path is there; those not named are in every version from 1.5 on. */
const pathsSince: Readonly<Record<string, string>> = {
  "/serial": "1.14",
  "/pmem/{id}": "1.14",
  "/hotplug/memory": "1.14",
  "/balloon/hinting/start": "1.14",
  "/balloon/hinting/status": "1.14",
  "/balloon/hinting/stop": "1.14",
};

/** Checks requests against the API description of one version. */
export class RequestCheck {
  readonly #routes: readonly CompiledRoute[];

  constructor(description: ApiDescription, version: string) {
    const ajv = new Ajv({ strict: false, verbose: true });
    ajv.addSchema({ definitions: strictDefinitions(description) }, "api");
    this.#routes = Object.entries(description.paths)
      .filter(([path]) => isAtLeast(version, pathsSince[path] ?? "0"))
      .flatMap(([path, operations]) =>
        Object.entries(operations).map(([method, operation]) =>
          compileRoute(ajv, path, method, operation),
        ),
      );
  }

  /**
   * @param target path of the request line
   * @param text body, `undefined` when there is none
   * @throws ApiFault in the real server's words where public sources give them
   */
  check(
    method: string,
    target: string,
    text: string | undefined,
  ): ValidRequest {
    const found = this.#find(method, target);
    const first = target.replace(/^\/+/, "").split("/")[0] ?? "";
    const unknown = `Invalid request method and/or path: ${method} ${first}.`;
    if (method === "GET" && text !== undefined)
      throw new ApiFault("GET request cannot have a body.");
    if (
      text === undefined &&
      (method === "PUT" || method === "PATCH") &&
      found?.route.needsBody !== false
    )
      throw new ApiFault(`Empty ${method} request.`);
    if (!found) throw new ApiFault(unknown);
    const { route, resourceId } = found;
    if (resourceId === "") throw new ApiFault("The ID cannot be empty.");
    if (resourceId !== undefined && !/^[\p{L}\p{N}_]+$/u.test(resourceId))
      throw new ApiFault(
        "API Resource IDs can only contain alphanumeric characters and underscores.",
      );
    const body = text === undefined ? undefined : parseBody(text, route);
    if (
      route.idField !== undefined &&
      (body as Schema)[route.idField] !== resourceId
    )
      throw new ApiFault(
        `The id from the path [${resourceId ?? ""}] does not match the id from the body [${String((body as Schema)[route.idField])}]!`,
      );
    return { route, resourceId, body };
  }

  #find(
    method: string,
    target: string,
  ): { route: CompiledRoute; resourceId: string | undefined } | undefined {
    for (const route of this.#routes) {
      const match =
        route.method === method ? route.pattern.exec(target) : undefined;
      if (match) return { route, resourceId: match[1] };
    }
    return undefined;
  }
}

function parseBody(text: string, route: CompiledRoute): unknown {
  const refuse = (problem: string): never => {
    throw new ApiFault(
      `An error occurred when deserializing the json body of a request: ${problem}.`,
    );
  };
  if (!route.takesBody) refuse("trailing characters at line 1 column 1");
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    refuse("expected value at line 1 column 1");
  }
  if (route.validate?.(body) === false) {
    const [error] = route.validate.errors ?? [];
    refuse(
      `${error ? bodyProblem(error) : "invalid value"} at line 1 column ${String(text.length)}`,
    );
  }
  // All of these are optional, but an update of nothing is refused.
  if (
    route.operationId === "patchMachineConfiguration" &&
    Object.keys(body as Schema).length === 0
  )
    throw new ApiFault("Empty PATCH request.");
  return body;
}

function compileRoute(
  ajv: Ajv,
  path: string,
  method: string,
  { operationId, parameters = [] }: DescribedOperation,
): CompiledRoute {
  const body = parameters.find((parameter) => parameter.in === "body");
  const id = parameters.find((parameter) => parameter.in === "path");
  const name = /^#\/definitions\/(.+)$/.exec(
    typeof body?.schema?.["$ref"] === "string" ? body.schema["$ref"] : "",
  )?.[1];
  const schema =
    name === undefined
      ? undefined
      : {
          $ref: `api#/definitions/${operationId === "patchMachineConfiguration" ? `${name}Update` : name}`,
        };
  return {
    operationId,
    method: method.toUpperCase(),
    path,
    // A trailing slash is ignored, as in the real server.
    pattern: new RegExp(`^${path.replace(/\{[^}]+\}/, "([^/]*)")}/?$`),
    idField: id?.name,
    takesBody: body !== undefined,
    // The real server wants a body of every PUT, and of a PATCH but those of the balloon's hinting.
    needsBody: body !== undefined && !path.startsWith("/balloon/hinting"),
    validate: schema && ajv.compile(schema),
  };
}

/** The definitions with what the real server's parser adds: no unknown fields. */
function strictDefinitions({
  definitions,
}: ApiDescription): Record<string, unknown> {
  const strict: Record<string, unknown> = {};
  for (const [name, definition] of Object.entries(definitions))
    strict[name] = strictSchema(definition);
  const machine = strict["MachineConfiguration"] as Schema;
  strict["MachineConfigurationUpdate"] = { ...machine, required: [] };
  return strict;
}

function strictSchema(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(strictSchema);
  if (typeof schema !== "object" || schema === null) return schema;
  const entries = Object.entries(schema)
    // `format` holds what is no JSON Schema format, such as an expression; descriptions say nothing.
    .filter(([key]) => key !== "format" && key !== "description")
    .map(([key, value]) => [
      key,
      key === "properties" ? mapValues(value as Schema) : strictSchema(value),
    ]);
  const strict = Object.fromEntries(entries) as Schema;
  return "properties" in strict && !("additionalProperties" in strict)
    ? { ...strict, additionalProperties: false }
    : strict;
}

/** A property may be called `format` or `description`. */
function mapValues(properties: Schema): Schema {
  return Object.fromEntries(
    Object.entries(properties).map(([name, value]) => [
      name,
      strictSchema(value),
    ]),
  );
}
