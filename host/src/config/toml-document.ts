import { readFile } from "node:fs/promises";
import { parse, TomlError } from "smol-toml";
import { hasErrorCode } from "../files/error-code.js";
import { ConfigSyntaxError, ConfigUnreadableError } from "./config-errors.js";
import { tomlEntries } from "./toml-entries.js";

/** A table of TOML, parsed. */
export type TomlTable = Readonly<Record<string, unknown>>;

/** A configuration file that is TOML. */
export interface TomlDocument {
  readonly file: string;
  /** `undefined` when there is no file */
  readonly text: string | undefined;
  readonly data: TomlTable;
  /** Line of a key, counted from 1; of the nearest table around it when it is not written. */
  lineOf(path: readonly PropertyKey[]): number | undefined;
}

/**
 * Reads a file; one that does not exist is empty.
 * @throws ConfigUnreadableError, ConfigSyntaxError
 */
export async function readTomlDocument(file: string): Promise<TomlDocument> {
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (error) {
    if (!hasErrorCode(error, "ENOENT"))
      throw new ConfigUnreadableError(file, error);
    return { file, text: undefined, data: {}, lineOf: () => undefined };
  }
  const text = bytes.toString("utf8");
  if (!Buffer.from(text).equals(bytes))
    throw new ConfigSyntaxError(file, undefined, "it is not UTF-8 text");
  const data = parseToml(file, text);
  return { file, text, data, lineOf: (path) => findLine(text, path) };
}

/** @throws ConfigSyntaxError with the place and the lines around it */
export function parseToml(file: string, text: string): TomlTable {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const [problem = ""] = error.message.split("\n");
    const frame = error.codeblock.split("\n").filter((line) => line !== "");
    throw new ConfigSyntaxError(
      file,
      error,
      problem.replace(/^Invalid TOML document: /, ""),
      frame,
      error,
    );
  }
}

/** Is it a table, and no list, date or plain value? */
export function isTable(value: unknown): value is TomlTable {
  return (
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Date)
  );
}

function findLine(
  text: string,
  path: readonly PropertyKey[],
): number | undefined {
  const entries = tomlEntries(text);
  for (let length = path.length; length > 0; length--) {
    const part = path.slice(0, length);
    // The first that is said of it: `[a.b.c]` alone is where `a` is written too.
    const found = entries.find((entry) =>
      part.every((key, index) => key === entry.path[index]),
    );
    if (found) return text.slice(0, found.start).split("\n").length;
  }
  return undefined;
}
