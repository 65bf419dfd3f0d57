import type { ErrorObject } from "ajv";

/** What is wrong with a body, much as the real server's parser says it; the place in the text is left out. Pure. */
export function bodyProblem({
  keyword,
  params,
  data,
  instancePath,
  message,
}: ErrorObject): string {
  const value = params as Readonly<Record<string, unknown>>;
  switch (keyword) {
    case "additionalProperties":
      return `unknown field \`${String(value["additionalProperty"])}\``;
    case "required":
      return `missing field \`${String(value["missingProperty"])}\``;
    case "type":
      return `invalid type: ${typeName(data)}, expected ${String(value["type"])}${at(instancePath)}`;
    case "enum":
      return `unknown variant \`${String(data)}\`, expected one of ${(value["allowedValues"] as unknown[]).map((allowed) => `\`${String(allowed)}\``).join(", ")}`;
    default:
      return `invalid value: ${JSON.stringify(data)}, ${message ?? keyword}${at(instancePath)}`;
  }
}

function at(path: string): string {
  return path === "" ? "" : ` for \`${path.slice(1)}\``;
}

function typeName(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "sequence";
  return typeof value === "object"
    ? "map"
    : `${typeof value} ${JSON.stringify(value)}`;
}
