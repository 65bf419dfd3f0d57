import { UsageError } from "./usage-error.js";

/** Values of a parsed command line, by the names of options and positionals. */
export class Arguments {
  readonly #values: Readonly<Record<string, unknown>>;

  /** the words of the command line, as they were given */
  readonly argv: readonly string[];

  constructor(
    values: Readonly<Record<string, unknown>>,
    argv: readonly string[],
  ) {
    this.#values = values;
    this.argv = argv;
  }

  /** @throws {@link UsageError} when it was given twice or is empty */
  string(name: string): string | undefined {
    const value = this.#values[name];
    if (value === undefined) return undefined;
    if (Array.isArray(value))
      throw new UsageError(`--${name} is given more than once`);
    const text = typeof value === "string" ? value : JSON.stringify(value);
    if (text === "") throw new UsageError(`${name} is empty`);
    return text;
  }

  /** A positional that the parser made sure of. */
  required(name: string): string {
    const value = this.string(name);
    if (value === undefined) throw new UsageError(`<${name}> is missing`);
    return value;
  }

  strings(name: string): readonly string[] {
    const value = this.#values[name];
    if (value === undefined) return [];
    const all = (Array.isArray(value) ? value : [value]).map(String);
    if (all.includes("")) throw new UsageError(`${name} is empty`);
    return all;
  }

  flag(name: string): boolean {
    const value = this.#values[name];
    return Array.isArray(value) ? value.includes(true) : value === true;
  }

  /** A whole number. @throws {@link UsageError} */
  number(name: string): number | undefined {
    const text = this.string(name);
    if (text === undefined) return undefined;
    if (!/^-?\d{1,15}$/.test(text))
      throw new UsageError(
        `--${name} ${JSON.stringify(text)} is not a whole number`,
      );
    return Number(text);
  }

  /** The words after `--`; absent when there is no `--` or nothing behind it. */
  get guestCommand(): readonly string[] | undefined {
    const value = this.#values["--"];
    return Array.isArray(value) && value.length > 0
      ? value.map(String)
      : undefined;
  }
}
