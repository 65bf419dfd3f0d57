import {
  OperationRegistry,
  type ImageStore,
  type PluginRegistry,
  type VmService,
} from "@banger/core";
import { memoryLogger } from "@banger/core/testing";
import { describe, expect, it } from "vitest";
import { openApiDocument } from "../../src/api/openapi.js";
import { daemonRoutes } from "../../src/api/routes/daemon-routes.js";
import { imageRoutes } from "../../src/api/routes/image-routes.js";
import { operationRoutes } from "../../src/api/routes/operation-routes.js";
import { pluginRoutes } from "../../src/api/routes/plugin-routes.js";
import { vmRoutes } from "../../src/api/routes/vm-routes.js";
import { ConsoleReader } from "../../src/files/console-reader.js";
import {
  changeVmBody,
  createVmBody,
  killVmBody,
  logsQuery,
  pruneVmsBody,
  stopVmBody,
} from "../../src/api/schemas.js";
import { ask, startServer } from "./api-bench.js";

const nothing = () => Promise.resolve();
const operations = new OperationRegistry({ logger: memoryLogger() });
const routes = [
  ...vmRoutes({
    vmService: {} as unknown as VmService,
    consoleReader: new ConsoleReader(),
    checkRequirements: nothing,
    onLaunched: () => undefined,
  }),
  ...imageRoutes({ imageStore: {} as ImageStore, checkRequirements: nothing }),
  ...pluginRoutes({
    pluginRegistry: {} as unknown as PluginRegistry,
    enabledPlugins: () => [],
    setEnabled: nothing,
  }),
  ...operationRoutes({ operations }),
  ...daemonRoutes({
    facts: { version: "1", build: "b", startedAt: "", logFile: "" },
    operations,
    reconcileReport: () => undefined,
    countRunning: () => Promise.resolve(0),
    requestStop: () => undefined,
    diagnose: () => Promise.resolve([]),
    requirements: nothing,
    describeConfig: nothing,
  }),
];

type Tree = Record<string, unknown>;

function* nodesOf(value: unknown): Generator<Tree> {
  if (typeof value !== "object" || value === null) return;
  yield value as Tree;
  for (const child of Object.values(value)) yield* nodesOf(child);
}

describe("openApiDocument", () => {
  const document = openApiDocument(routes, "1.2.3") as Tree & {
    paths: Record<string, Record<string, Tree>>;
  };

  it("has every route, with every parameter of its path", () => {
    const described = Object.entries(document.paths).flatMap(
      ([path, methods]) =>
        Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const listed = routes.map(
      ({ method, path }) => `${method} ${path.replaceAll(/:(\w+)/g, "{$1}")}`,
    );
    // Upgraded connections are no route.
    expect(described.sort()).toEqual(
      [...listed, "GET /v1/vms/{vm}/exec"].sort(),
    );
    for (const [path, methods] of Object.entries(document.paths))
      for (const { parameters = [], summary } of Object.values(methods)) {
        const inPath = (parameters as Tree[]).filter(
          (one) => one["in"] === "path",
        );
        expect(inPath.map(({ name }) => `{${String(name)}}`)).toEqual(
          path.match(/\{\w+\}/g) ?? [],
        );
        expect(inPath.every(({ required }) => required === true)).toBe(true);
        expect(summary).not.toBe("");
      }
  });

  it("describes the VMs that routes answer with", () => {
    const schemaOf = (method: string, path: string): Tree => {
      const { responses } = document.paths[path]?.[method] as {
        responses: { 200: { content: Record<string, { schema: Tree }> } };
      };
      return Object.values(responses[200].content)[0]?.schema ?? {};
    };
    const described = {
      properties: {
        state: { enum: ["created", "running", "stopped", "error"] },
        runtime: { properties: { guestIp: { type: "string" } } },
      },
    };
    expect(schemaOf("get", "/v1/vms/{vm}")).toMatchObject(described);
    expect(schemaOf("get", "/v1/vms")).toMatchObject({
      type: "array",
      items: described,
    });
    const { oneOf } = schemaOf("post", "/v1/vms/{vm}/restart") as {
      oneOf: { properties: { type: { const: string }; value?: Tree } }[];
    };
    const result = oneOf.find(({ properties }) => properties.value);
    expect(result?.properties.value).toMatchObject(described);
  });

  it("is JSON, and its references lead somewhere", () => {
    expect(JSON.parse(JSON.stringify(document))).toMatchObject({
      openapi: "3.1.0",
      info: { version: "1.2.3" },
    });
    for (const node of nodesOf(document)) {
      const reference = node["$ref"];
      if (typeof reference !== "string") continue;
      let target: unknown = document;
      for (const part of reference.replace("#/", "").split("/"))
        target = (target as Tree)[part];
      expect(target, reference).toBeDefined();
    }
  });

  it("is served", async () => {
    const { status, text } = await ask(
      await startServer(),
      "GET",
      "/v1/openapi.json",
    );
    expect(status).toBe(200);
    expect(JSON.parse(text)).toMatchObject({ openapi: "3.1.0" });
  });
});

describe("schemas", () => {
  it("fill in what is left out", () => {
    expect(createVmBody.parse({})).toEqual({ start: true });
    expect(stopVmBody.parse(undefined)).toEqual({ force: false });
    expect(stopVmBody.parse({})).toEqual({ force: false });
    expect(killVmBody.parse(undefined)).toEqual({ signal: "KILL" });
    expect(killVmBody.parse({})).toEqual({ signal: "KILL" });
    expect(logsQuery.parse({})).toEqual({ follow: "false", lines: 10_000 });
    expect(logsQuery.parse({ lines: "5" }).lines).toBe(5);
  });

  it.each([
    [createVmBody, { unknown: 1 }],
    [createVmBody, { accel: "fast" }],
    [createVmBody, { plugins: "nat" }],
    [changeVmBody, { name: 1 }],
    [killVmBody, { signal: "SIGTERM" }],
    [killVmBody, { signal: "STOP" }],
    [pruneVmsBody, {}],
    [pruneVmsBody, { ids: ["web"] }],
    [pruneVmsBody, { ids: ["0123456789abc"] }],
    [stopVmBody, { force: "yes" }],
    [stopVmBody, null],
    [logsQuery, { lines: "0" }],
    [logsQuery, { lines: "1e9" }],
    [logsQuery, { lines: "many" }],
    [logsQuery, { follow: "1" }],
  ])("refuse %#", (schema, value) => {
    expect(schema.safeParse(value).success).toBe(false);
  });
});
