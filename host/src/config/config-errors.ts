import { BangerError } from "@banger/core";

/** One thing that is wrong in the configuration. */
export interface ConfigProblem {
  /** dotted, such as `vm_defaults.vcpus` */
  readonly key: string;
  /** counted from 1; absent when the key is not in the file */
  readonly line?: number;
  readonly message: string;
  readonly hint?: string;
}

/** The file is TOML, but not a configuration. Lists every problem; message and hint are the first one's. */
export class ConfigInvalidError extends BangerError {
  override readonly code = "ERR_CONFIG_INVALID";
  override readonly kind = "usage";
  readonly file: string;
  readonly problems: readonly ConfigProblem[];

  constructor(file: string, problems: readonly ConfigProblem[]) {
    const [first] = problems;
    if (first === undefined) throw new Error("an error without a problem");
    const more = problems.length - 1;
    super(
      `${render(file, first)}${more > 0 ? ` (and ${more.toString()} more)` : ""}`,
      { hint: first.hint ?? `Correct it in ${file}` },
    );
    this.file = file;
    this.problems = problems;
  }

  override get details(): readonly string[] {
    if (this.problems.length === 1) return [];
    return this.problems.map((problem) => {
      const hint = problem.hint === undefined ? "" : ` (${problem.hint})`;
      return `${render(this.file, problem)}${hint}`;
    });
  }
}

/** The file is not TOML. */
export class ConfigSyntaxError extends BangerError {
  override readonly code = "ERR_CONFIG_SYNTAX";
  override readonly kind = "usage";
  readonly #frame: readonly string[];

  /** @param frame the lines around the place, with a mark */
  constructor(
    file: string,
    place: { readonly line: number; readonly column: number } | undefined,
    problem: string,
    frame: readonly string[] = [],
    cause?: unknown,
  ) {
    const at =
      place === undefined
        ? ""
        : `:${place.line.toString()}:${place.column.toString()}`;
    super(`${file}${at}: ${problem}`, {
      hint: `Correct it in ${file}; the format is TOML 1.0`,
      cause,
    });
    this.#frame = frame;
  }

  override get details(): readonly string[] {
    return this.#frame;
  }
}

export class ConfigUnreadableError extends BangerError {
  override readonly code = "ERR_CONFIG_UNREADABLE";
  constructor(file: string, cause: unknown) {
    super(`the configuration ${file} cannot be read`, {
      hint: `Check what it is and who may read it: ls -l ${file}`,
      cause,
    });
  }
}

/** The file is written in a way that cannot be changed without risk to the rest of it. */
export class ConfigEditError extends BangerError {
  override readonly code = "ERR_CONFIG_EDIT";
  constructor(file: string, key: string, list: readonly string[]) {
    super(`${file} cannot be changed safely; nothing was written`, {
      hint: `Write it yourself, in the table [plugins]: ${key} = ${JSON.stringify(list)}`,
    });
  }
}

function render(file: string, { line, key, message }: ConfigProblem): string {
  const at = line === undefined ? "" : `:${line.toString()}`;
  return `${file}${at}: ${key === "" ? "" : `${key}: `}${message}`;
}
