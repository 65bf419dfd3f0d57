import type { CommandDefinition } from "./command.js";

/**
 * The command line with the forgotten `--` in it, as a hint. Pure.
 * @param argv all words that banger was given
 * @param from which of the positionals, counted from 0, is the first word of the guest's command
 * @returns undefined when there is no such positional
 */
export function guestCommandHint(
  command: CommandDefinition,
  argv: readonly string[],
  from: number,
): string | undefined {
  const at = positionalPlaces(command, argv)[from];
  if (at === undefined) return undefined;
  const end = argv.indexOf("--");
  const words = end < 0 ? argv : argv.slice(0, end);
  const line = [...words.slice(0, at), "--", ...words.slice(at)];
  return `A command comes after --: banger ${line.map(quote).join(" ")}`;
}

/** Where in `argv` the positionals of this command are; values of its options are none. */
export function positionalPlaces(
  { words, alias, options = {} }: CommandDefinition,
  argv: readonly string[],
): readonly number[] {
  const takesValue = (word: string): boolean =>
    Object.entries(options).some(
      ([name, option]) =>
        option.type !== "boolean" &&
        (word === `--${name}` || word === `-${option.alias ?? ""}`),
    );
  const places: number[] = [];
  for (
    let at = argv[0] === alias ? 1 : words.length;
    at < argv.length && argv[at] !== "--";
    at++
  ) {
    const word = argv[at] ?? "";
    if (takesValue(word)) at++;
    else if (!word.startsWith("-") || word === "-") places.push(at);
  }
  return places;
}

/** Whether the word is more likely a program's name than a path. Pure. */
export function looksLikeProgram(word: string): boolean {
  return /^[A-Za-z_][\w+-]*$/.test(word);
}

/** As a shell would read it back. */
function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word)
    ? word
    : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}
