/** How one argument of the command line is used. */
export interface ArgumentRule {
  readonly takesValue?: true;
  readonly required?: true;
  readonly many?: true;
  readonly default?: string;
  readonly forbids?: string;
  readonly requires?: string;
}

/** What a command line says. */
export interface Arguments {
  /** the only or last value of an argument, or its default */
  value(name: string): string | undefined;
  values(name: string): readonly string[];
  has(name: string): boolean;
  /** what follows `--` */
  readonly rest: readonly string[];
}

/** A command line that is refused, in the words of the real programs. */
export class ArgumentError extends Error {}

/**
 * Parses as the real programs do: every argument but flags takes the next word as its value, and nothing is abbreviated. `--help` and
 * `--version` hide all others. Pure.
 * @throws ArgumentError
 */
export function parseArguments(
  words: readonly string[],
  rules: Readonly<Record<string, ArgumentRule>>,
): Arguments {
  const end = words.indexOf("--");
  const own = end < 0 ? words : words.slice(0, end);
  const rest = end < 0 ? [] : words.slice(end + 1);
  for (const name of ["help", "version"])
    if (own.includes(`--${name}`)) return result(new Map([[name, []]]), {}, []);
  const found = new Map<string, string[]>();
  for (let at = 0; at < own.length; at += 1) {
    const word = own[at] ?? "";
    const name = word.replace(/^--/, "");
    const rule = word.startsWith("--") ? rules[name] : undefined;
    if (rule === undefined)
      throw new ArgumentError(
        `Found argument '${name}' which wasn't expected, or isn't valid in this context.`,
      );
    const known = found.get(name);
    if (known !== undefined && rule.many === undefined)
      throw new ArgumentError(
        `The argument '${name}' was provided more than once.`,
      );
    if (rule.takesValue === undefined) {
      found.set(name, []);
      continue;
    }
    at += 1;
    const value = own[at];
    if (value === undefined || value.startsWith("--"))
      throw new ArgumentError(
        `The argument '${name}' requires a value, but none was supplied.`,
      );
    found.set(name, [...(known ?? []), value]);
  }
  checkTogether(found, rules);
  return result(found, rules, rest);
}

function checkTogether(
  found: ReadonlyMap<string, unknown>,
  rules: Readonly<Record<string, ArgumentRule>>,
): void {
  for (const [name, { required, requires, forbids }] of Object.entries(rules)) {
    if (required === true && !found.has(name))
      throw new ArgumentError(`Argument '${name}' required, but not found.`);
    if (!found.has(name)) continue;
    if (requires !== undefined && !found.has(requires))
      throw new ArgumentError(
        `Argument '${requires}' required, but not found.`,
      );
    if (forbids !== undefined && found.has(forbids))
      throw new ArgumentError(
        `Argument '${forbids}' cannot be used together with argument '${name}'.`,
      );
  }
}

function result(
  found: ReadonlyMap<string, readonly string[]>,
  rules: Readonly<Record<string, ArgumentRule>>,
  rest: readonly string[],
): Arguments {
  return {
    value: (name) => found.get(name)?.at(-1) ?? rules[name]?.default,
    values: (name) => found.get(name) ?? [],
    has: (name) => found.has(name),
    rest,
  };
}

/** Why an instance id is no instance id; `undefined` when it is one. The real rule: 1 to 64 letters, digits and hyphens. */
export function instanceIdProblem(id: string): string | undefined {
  if (id.length === 0 || id.length > 64)
    return `Invalid len (${String(id.length)});  the length must be between 1 and 64`;
  const at = id.search(/[^\p{L}\p{N}-]/u);
  return at < 0
    ? undefined
    : `Invalid char (${id[at] ?? ""}) at position ${String(at)}`;
}
