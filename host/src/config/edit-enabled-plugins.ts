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
import { valueAt } from "./load-config.js";
import { changeStringArray } from "./string-array-edit.js";
import { tomlEntries } from "./toml-entries.js";
import {
  isTable,
  parseToml,
  readTomlDocument,
  type TomlDocument,
  type TomlTable,
} from "./toml-document.js";

/** The list below `[plugins]` that is edited: ids of enabled plugins. */
const key = "enabled";

export interface PluginListChange {
  /** the list after it */
  readonly list: readonly string[];
  /** was the file written? */
  readonly changed: boolean;
}

/**
 * Puts a plugin into the file's `[plugins] enabled`, or takes it out, and leaves every other character of the file as it is. The file,
 * the table and the key are made when they are missing, then with the default list. Idempotent. Whether such a plugin is installed is
 * the caller's question.
 * @throws ConfigUnreadableError, ConfigSyntaxError, ConfigInvalidError when the list would be no list of ids
 * @throws {@link ConfigEditError} when the file is written in a way that this cannot change safely
 */
export async function setPluginEnabled(options: {
  readonly file: string;
  readonly id: string;
  readonly enabled: boolean;
}): Promise<PluginListChange> {
  const { file: path, id: item, enabled: add } = options;
  // A linked file, as dotfile tools have it, stays a link.
  const file = await realpath(path).catch((error: unknown) => {
    if (hasErrorCode(error, "ENOENT")) return path;
    throw error;
  });
  const document = await readTomlDocument(file);
  const { plugins } = document.data;
  const written = valueAt(document.data, ["plugins", key]);
  const before = checkList(
    document,
    isTable(plugins) || plugins === undefined
      ? written === undefined
        ? {}
        : { [key]: written }
      : plugins,
  );
  if (before.includes(item) === add) return { list: before, changed: false };
  const after = add
    ? [...before, item]
    : before.filter((entry) => entry !== item);
  checkList(document, { [key]: after });

  const text = editText(document.text ?? "", item, add, after);
  if (!isFaithful(file, document.data, text, after))
    throw new ConfigEditError(file, key, after);
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  await writeAtomically(file, text);
  return { list: after, changed: true };
}

/** The list as it is in force: the file's or the default. @throws ConfigInvalidError */
function checkList(
  document: TomlDocument,
  plugins: unknown,
): readonly string[] {
  const schema = configSchema.shape.plugins;
  const checked = checkValues(schema, plugins, ["plugins"], document);
  if (checked.problems)
    throw new ConfigInvalidError(document.file, checked.problems);
  return checked.value[key];
}

function editText(
  text: string,
  item: string,
  add: boolean,
  after: readonly string[],
): string {
  const entries = tomlEntries(text);
  const isAt = (
    path: readonly unknown[],
    ...keys: readonly string[]
  ): boolean => isDeepStrictEqual(path, keys);
  const list = entries.find(
    ({ kind, path }) => kind === "pair" && isAt(path, "plugins", key),
  );
  if (list) {
    const elements = entries.filter(
      ({ kind, path }) =>
        kind === "element" && isAt(path.slice(0, -1), "plugins", key),
    );
    return changeStringArray(text, list, elements, item, add);
  }
  const newline = text.includes("\r\n") ? "\r\n" : "\n";
  const line = `${key} = [${after.map((entry) => JSON.stringify(entry)).join(", ")}]`;
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
  list: readonly string[],
): boolean {
  const { plugins } = before;
  const expected = {
    ...before,
    plugins: { ...(isTable(plugins) ? plugins : {}), [key]: list },
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
