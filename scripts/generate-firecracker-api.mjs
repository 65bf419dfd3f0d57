// Makes the types and the reply schemas of Firecracker's API from its published description.
//   node scripts/generate-firecracker-api.mjs [--check] [--output DIRECTORY]
// --check writes nothing and fails when a file is not what would be written.
import { readFileSync, writeFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import { format } from "prettier";
import { parse } from "yaml";

const root = resolve(import.meta.dirname, "..");
const source = "host/firecracker/api-1.17-dev.yaml";

/** Most characters of a description that become a docstring. */
const longestDoc = 160;

/** What our client sends; the description has more. */
const operations = [
  "GET /",
  "PUT /actions",
  "GET /balloon",
  "PUT /balloon",
  "PATCH /balloon",
  "GET /balloon/statistics",
  "PUT /boot-source",
  "PUT /drives/{drive_id}",
  "PATCH /drives/{drive_id}",
  "PUT /entropy",
  "PUT /logger",
  "PUT /machine-config",
  "PUT /metrics",
  "PUT /network-interfaces/{iface_id}",
  "PATCH /network-interfaces/{iface_id}",
  "PUT /serial",
  "PUT /snapshot/create",
  "PUT /snapshot/load",
  "GET /version",
  "PATCH /vm",
  "GET /vm/config",
  "PUT /vsock",
];

/** Definitions that other files name; the rest is reached through these. */
const exported = new Set([
  "Balloon",
  "BalloonStats",
  "BalloonUpdate",
  "BootSource",
  "Drive",
  "EntropyDevice",
  "FullVmConfiguration",
  "InstanceInfo",
  "Logger",
  "MachineConfiguration",
  "Metrics",
  "NetworkInterface",
  "PartialDrive",
  "PartialNetworkInterface",
  "SerialDevice",
  "SnapshotCreateParams",
  "SnapshotLoadParams",
  "Vsock",
]);

const { values: options } = parseArgs({
  options: {
    check: { type: "boolean", default: false },
    output: { type: "string", default: "host/src/vmm/firecracker" },
  },
});

const { definitions, paths } = parse(readFileSync(join(root, source), "utf8"));
const header = `// Made by scripts/generate-firecracker-api.mjs from ${source}: not to be edited.\n`;

const calls = operations.map((name) => {
  const [method, path] = name.split(" ");
  const described = paths[path]?.[method.toLowerCase()];
  if (described === undefined) throw new Error(`${source} has no ${name}`);
  const { parameters = [], responses, summary } = described;
  const body = parameters.find((parameter) => parameter.in === "body");
  return {
    name,
    doc: docstring(onOneLine(summary)),
    body: nameOf(body?.schema),
    reply: nameOf(responses["200"]?.schema),
  };
});

/** The definition that a schema refers to. */
function nameOf(schema) {
  if (schema === undefined) return undefined;
  const name = /^#\/definitions\/(\w+)$/.exec(schema.$ref ?? "")?.[1];
  if (definitions[name] === undefined)
    throw new Error(`no definition: ${JSON.stringify(schema)}`);
  return name;
}

/** These definitions and all that they refer to, each after those it refers to. */
function withReferences(names) {
  const ordered = new Set();
  const visit = (name, trail) => {
    if (trail.includes(name)) throw new Error(`${name} refers to itself`);
    for (const next of referencesOf(definitions[name]))
      visit(next, [...trail, name]);
    ordered.add(name);
  };
  for (const name of names) visit(name, []);
  return [...ordered];
}

function referencesOf(schema) {
  if (schema.$ref !== undefined) return [nameOf(schema)];
  const parts = [
    ...Object.values(schema.properties ?? {}),
    ...(schema.items ? [schema.items] : []),
    ...(schema.additionalProperties ? [schema.additionalProperties] : []),
  ];
  return parts.flatMap(referencesOf);
}

/** The first sentence of a description, as a docstring. */
function docOf(description = "") {
  const [sentence] = onOneLine(description).split(/(?<=[^.]{3}\.) (?=[A-Z"])/);
  return docstring(sentence);
}

function onOneLine(text) {
  return text.replaceAll(/\s+/g, " ").trim();
}

function docstring(sentence) {
  const short =
    sentence.length > longestDoc
      ? `${sentence.slice(0, sentence.lastIndexOf(" ", longestDoc))} …`
      : sentence.replace(/\.$/, "");
  return short === "" ? "" : `/** ${short.replaceAll("*/", "* /")} */\n`;
}

function typeOf(schema) {
  if (schema.$ref !== undefined) return nameOf(schema);
  if (schema.enum) return schema.enum.map((value) => `"${value}"`).join(" | ");
  switch (schema.type) {
    case "string":
    case "boolean":
      return schema.type;
    case "integer":
      return "number";
    case "array":
      return `readonly (${typeOf(schema.items)})[]`;
    case "object":
      return schema.additionalProperties
        ? `Readonly<Record<string, ${typeOf(schema.additionalProperties)}>>`
        : `{${membersOf(schema)}}`;
    default:
      throw new Error(`no type: ${JSON.stringify(schema)}`);
  }
}

function membersOf({ properties, required = [] }) {
  return Object.entries(properties)
    .map(([name, schema]) => {
      const optional = required.includes(name) ? "" : "?";
      return `${docOf(schema.description)}readonly "${name}"${optional}: ${typeOf(schema)};`;
    })
    .join("\n");
}

function typeDeclaration(name) {
  const schema = definitions[name];
  const start = `${docOf(schema.description)}${exported.has(name) ? "export " : ""}`;
  return schema.type === "object"
    ? `${start}interface ${name} {${membersOf(schema)}}\n`
    : `${start}type ${name} = ${typeOf(schema)};\n`;
}

function typesFile() {
  const named = calls.flatMap(({ body, reply }) => [body, reply]);
  const used = withReferences(named.filter((name) => name !== undefined));
  for (const name of exported)
    if (!used.includes(name)) throw new Error(`nothing uses ${name}`);
  const table = calls.map(
    ({ name, doc, body, reply }) =>
      `${doc}readonly "${name}": {readonly body: ${body}; readonly reply: ${reply}};`,
  );
  return [
    header,
    ...used.sort().map(typeDeclaration),
    `/** Each request that we send: its body, and the body of the answer when it succeeds. */
     export interface ApiOperations {${table.join("\n")}}`,
  ].join("\n");
}

function schemaName(name) {
  return `${name[0].toLowerCase()}${name.slice(1)}Schema`;
}

function schemaOf(schema) {
  if (schema.$ref !== undefined) return schemaName(nameOf(schema));
  const { type, minimum, maximum } = schema;
  switch (type) {
    case "string":
      return JSON.stringify({ type, values: schema.enum });
    case "boolean":
      return JSON.stringify({ type });
    case "integer":
      return JSON.stringify({ type, minimum, maximum });
    case "array":
      return `{type: "array", items: ${schemaOf(schema.items)}}`;
    case "object": {
      if (schema.additionalProperties)
        return `{type: "map", values: ${schemaOf(schema.additionalProperties)}}`;
      const properties = Object.entries(schema.properties).map(
        ([name, property]) => `"${name}": ${schemaOf(property)}`,
      );
      return `{type: "object", required: ${JSON.stringify(schema.required ?? [])}, properties: {${properties.join(", ")}}}`;
    }
    default:
      throw new Error(`no schema: ${JSON.stringify(schema)}`);
  }
}

function schemasFile() {
  const replies = calls.filter(({ reply }) => reply !== undefined);
  return [
    header,
    `import type { ApiSchema } from "./api-schema.js";`,
    `import type { ApiOperations } from "./api-types.js";\n`,
    ...withReferences(replies.map(({ reply }) => reply)).map(
      (name) =>
        `const ${schemaName(name)}: ApiSchema = ${schemaOf(definitions[name])};\n`,
    ),
    `/** What each answer with a body looks like; the other operations answer without one. */
     export const replySchemas: Readonly<Partial<Record<keyof ApiOperations, ApiSchema>>> = {
       ${replies.map(({ name, reply }) => `"${name}": ${schemaName(reply)},`).join("\n")}
     };`,
  ].join("\n");
}

for (const [name, text] of [
  ["api-types.ts", typesFile()],
  ["api-reply-schemas.ts", schemasFile()],
]) {
  const file = resolve(root, options.output, name);
  const wanted = await format(text, { parser: "typescript" });
  if (!options.check) writeFileSync(file, wanted);
  else if (readFileSync(file, "utf8") !== wanted) {
    console.error(
      `${relative(root, file)} is stale: npm run generate:firecracker-api`,
    );
    process.exitCode = 1;
  }
}
