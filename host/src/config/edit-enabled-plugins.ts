import { mkdir, realpath } from "node:fs/promises";
import { dirname } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { hasErrorCode } from "../files/error-code.js";
import { writeAtomically } from "../files/write-atomically.js";
import { checkValues } from "./check-values.js";
import {
  ConfigEditError,
  ConfigInvalidError,
  ConfigSyntaxError,
} from "./config-errors.js";
import { configSchema } from "./config-schema.js";
import { changeStringArray } from "./string-array-edit.js";
import { tomlEntries } from "./toml-entries.js";
import {
  isTable,
  parseToml,
  readTomlDocument,
  type TomlDocument,
  type TomlTable,
} from "./toml-document.js";

/**
 * Puts a plugin into the file's `[plugins] enabled`, or takes it out, and leaves every other character of the file as it is. The file,
 * the table and the key are made when they are missing, then with the default list. Idempotent. Whether such a plugin is installed is
 * the caller's question.
 * @returns the new list, and whether the file was written
 * @throws ConfigUnreadableError, ConfigSyntaxError, ConfigInvalidError when `enabled` is no list of ids
 * @throws {@link ConfigEditError} when the file is written in a way that this cannot change safely
 */
export async function setPluginEnabled(options: {
  readonly file: string;
  readonly id: string;
  readonly enabled: boolean;
}): Promise<{
  readonly enabled: readonly string[];
  readonly changed: boolean;
}> {
  const { id } = options;
  // A linked file, as dotfile tools have it, stays a link.
  const file = await realpath(options.file).catch((error: unknown) => {
    if (hasErrorCode(error, "ENOENT")) return options.file;
    throw error;
  });
  const document = await readTomlDocument(file);
  const before = readEnabled(document);
  if (before.includes(id) === options.enabled)
    return { enabled: before, changed: false };
  const after = options.enabled
    ? [...before, id]
    : before.filter((entry) => entry !== id);

  const text = document.text ?? "";
  const changed = editText(text, id, options.enabled, after);
  if (changed === undefined || !isFaithful(file, document.data, changed, after))
    throw new ConfigEditError(file, after);
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  await writeAtomically(file, changed);
  return { enabled: after, changed: true };
}

/** The list as it is in force: the file's or the default. */
function readEnabled(document: TomlDocument): readonly string[] {
  const { plugins } = document.data;
  const written =
    isTable(plugins) && Object.hasOwn(plugins, "enabled")
      ? { enabled: plugins["enabled"] }
      : {};
  const checked = checkValues(
    configSchema.shape.plugins,
    isTable(plugins) || plugins === undefined ? written : plugins,
    ["plugins"],
    document,
  );
  if (checked.problems)
    throw new ConfigInvalidError(document.file, checked.problems);
  return checked.value.enabled;
}

/** @returns `undefined` for a text that has no place for the change */
function editText(
  text: string,
  id: string,
  enable: boolean,
  after: readonly string[],
): string | undefined {
  const entries = tomlEntries(text);
  const isAt = (
    path: readonly unknown[],
    ...keys: readonly string[]
  ): boolean => isDeepStrictEqual(path, keys);
  const list = entries.find(
    ({ kind, path }) => kind === "pair" && isAt(path, "plugins", "enabled"),
  );
  if (list) {
    const elements = entries.filter(
      ({ kind, path }) =>
        kind === "element" && isAt(path.slice(0, -1), "plugins", "enabled"),
    );
    return changeStringArray(text, list, elements, id, enable);
  }
  const newline = text.includes("\r\n") ? "\r\n" : "\n";
  const line = `enabled = [${after.map((entry) => JSON.stringify(entry)).join(", ")}]`;
  const header = entries.find(
    ({ kind, path }) => kind === "header" && isAt(path, "plugins"),
  );
  if (header) {
    const lineEnd = text.indexOf("\n", header.end);
    if (lineEnd < 0) return `${text}${newline}${line}${newline}`;
    return `${text.slice(0, lineEnd + 1)}${line}${newline}${text.slice(lineEnd + 1)}`;
  }
  const ended = text === "" || text.endsWith("\n") ? text : text + newline;
  const gap = text === "" ? "" : newline;
  return `${ended}${gap}[plugins]${newline}${line}${newline}`;
}

/** Is the new text TOML that says the same as before but for the list? */
function isFaithful(
  file: string,
  before: TomlTable,
  text: string,
  enabled: readonly string[],
): boolean {
  const { plugins } = before;
  const expected = {
    ...before,
    plugins: { ...(isTable(plugins) ? plugins : {}), enabled },
  };
  try {
    return isDeepStrictEqual(plain(parseToml(file, text)), plain(expected));
  } catch (error) {
    if (error instanceof ConfigSyntaxError) return false;
    throw error;
  }
}

/** Without the prototypes that tell a parsed table from a literal; order of keys does not count, dates stay dates. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (!isTable(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key, plain(inner)]),
  );
}
