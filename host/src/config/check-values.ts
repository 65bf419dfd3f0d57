import { suggestName } from "@banger/core";
import type { z } from "zod";
import type { ConfigProblem } from "./config-errors.js";
import { childSchema, hasKeys, knownKeys } from "./schema-fields.js";
import { isTable, type TomlDocument } from "./toml-document.js";

type Path = readonly PropertyKey[];
type Issue = z.core.$ZodIssue;

/** Validated values, or everything that is wrong with them. */
export type Checked<Value> =
  | { readonly value: Value; readonly problems?: undefined }
  | { readonly problems: readonly ConfigProblem[] };

/**
 * Validates a part of the configuration. A key that the schema does not know is a problem also where the schema would drop it.
 * @param at where that part is in the file
 */
export function checkValues<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  at: readonly string[],
  document: Pick<TomlDocument, "lineOf">,
): Checked<z.output<Schema>> {
  const unknown = strayParts(schema, value, at);
  const parsed = schema.safeParse(value);
  const others = parsed.success
    ? []
    : parsed.error.issues
        .flatMap(flatten)
        .filter(
          (issue) => issue.code !== "unrecognized_keys" || !isListed(issue),
        );
  const problems = [
    ...unknown,
    ...others.map((issue) => toProblem(issue, at, value)),
  ]
    .map(({ path, ...problem }): ConfigProblem => {
      const line = document.lineOf(path);
      return {
        key: path.map(String).join("."),
        ...(line === undefined ? {} : { line }),
        ...problem,
      };
    })
    .sort((a, b) => (a.line ?? Infinity) - (b.line ?? Infinity) || 0);
  if (parsed.success && problems.length === 0) return { value: parsed.data };
  return { problems };

  function isListed(issue: Issue & { code: "unrecognized_keys" }): boolean {
    return issue.keys.every((key) =>
      unknown.some(({ path }) => same(path, [...at, ...issue.path, key])),
    );
  }
}

interface Located extends Pick<ConfigProblem, "message" | "hint"> {
  readonly path: Path;
}

/** An unknown name, with the nearest known one. */
export function unknownName(
  path: Path,
  known: readonly string[],
  message = "unknown key",
): Located {
  return { path, message, hint: suggestName(String(path.at(-1)), known) };
}

/** What zod lets pass: keys that the schema does not know, and dates in the place of tables. */
function strayParts(
  schema: z.ZodType,
  value: unknown,
  path: Path,
): readonly Located[] {
  if (Array.isArray(value)) {
    const element = childSchema(schema, 0);
    return element === undefined
      ? []
      : value.flatMap((item, index) =>
          strayParts(element, item, [...path, index]),
        );
  }
  // To zod a date is an object like any other, with no keys.
  if (value instanceof Date && hasKeys(schema))
    return [{ path, message: "expected a table, received a date" }];
  if (!isTable(value)) return [];
  const known = knownKeys(schema);
  return Object.entries(value).flatMap(([key, child]) => {
    if (known !== undefined && !Object.hasOwn(known, key))
      return [unknownName([...path, key], Object.keys(known))];
    const inner = childSchema(schema, key);
    return inner === undefined ? [] : strayParts(inner, child, [...path, key]);
  });
}

/** Of a union, the problems of the alternative that came furthest. */
function flatten(issue: Issue): readonly Issue[] {
  if (issue.code !== "invalid_union" || issue.message !== "Invalid input")
    return [issue];
  const fitting = issue.errors.find((errors) =>
    errors.some(({ code, path }) => path.length > 0 || code !== "invalid_type"),
  );
  if (fitting === undefined) return [issue];
  return fitting.flatMap((inner) =>
    flatten({ ...inner, path: [...issue.path, ...inner.path] }),
  );
}

function toProblem(issue: Issue, at: Path, value: unknown): Located {
  const path = [...at, ...issue.path];
  if (issue.code === "unrecognized_keys")
    return { path: [...path, issue.keys[0] ?? ""], message: "unknown key" };
  if (issue.code !== "invalid_value")
    return { path, message: issue.message.replace(/^Invalid input: /, "") };
  const given = issue.path.reduce<unknown>(
    (inner, key) => (inner as Record<PropertyKey, unknown> | undefined)?.[key],
    value,
  );
  const choices = issue.values.map(String);
  return {
    path,
    message: `${given === undefined ? "nothing" : JSON.stringify(given)} is none of ${choices.join(", ")}`,
    ...(typeof given === "string" ? { hint: suggestName(given, choices) } : {}),
  };
}

function same(a: Path, b: Path): boolean {
  return a.length === b.length && a.every((key, index) => key === b[index]);
}
