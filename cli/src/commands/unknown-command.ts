import { suggestName } from "@banger/core/client";
import { catalogue, groups } from "./catalogue.js";
import { UsageError } from "./usage-error.js";

/** What other tools call our commands. */
const synonyms: Readonly<Record<string, string>> = {
  rm: "delete",
  remove: "delete",
  ls: "list",
  ps: "list",
  inspect: "show",
  shell: "ssh",
};

/** Flags that may stand before or in place of a command. */
const flagsOfEverything = ["--help", "-h", "--version"];

/**
 * Looks at the words that name the command, before anything else is parsed: whoever asks for help on a command that does not exist
 * should hear that.
 * @throws {@link UsageError}
 */
export function checkCommandWords(argv: readonly string[]): void {
  const [first, second] = argv;
  if (first === undefined) return;
  checkFlag(first, "");
  if (first.startsWith("-")) return;
  const top = topWords();
  if (!top.includes(first)) throw unknown(first, "", top);
  if (!Object.hasOwn(groups, first) || second === undefined) return;
  checkFlag(second, `${first} `);
  const below = wordsBelow(first);
  if (!second.startsWith("-") && !below.includes(second))
    throw unknown(second, `${first} `, below);
}

/** A group was named and none of its commands. */
export function commandMissing(group: string): UsageError {
  return new UsageError(`banger ${group} needs a command`, {
    hint: `One of: ${wordsBelow(group).join(", ")}`,
  });
}

function checkFlag(word: string, prefix: string): void {
  if (!word.startsWith("-") || flagsOfEverything.includes(word)) return;
  throw new UsageError(`unknown flag ${word}`, {
    hint: `Flags come after the command; see: banger ${prefix}--help`,
  });
}

function unknown(
  word: string,
  prefix: string,
  known: readonly string[],
): UsageError {
  return new UsageError(`unknown command ${JSON.stringify(prefix + word)}`, {
    hint: suggest(word, prefix, known),
  });
}

function suggest(
  word: string,
  prefix: string,
  known: readonly string[],
): string {
  const meant = Object.hasOwn(synonyms, word) ? synonyms[word] : undefined;
  if (meant !== undefined && known.includes(meant))
    return `Did you mean ${meant}?`;
  const group =
    prefix === ""
      ? Object.keys(groups).find((name) =>
          wordsBelow(name).includes(meant ?? word),
        )
      : undefined;
  return group === undefined
    ? suggestName(word, known)
    : `Did you mean ${group} ${meant ?? word}?`;
}

function topWords(): readonly string[] {
  return [
    ...Object.keys(groups),
    ...catalogue.flatMap(({ words: [first, second], alias }) => [
      ...(second === undefined ? [first] : []),
      ...(alias === undefined ? [] : [alias]),
    ]),
  ];
}

function wordsBelow(group: string): readonly string[] {
  return catalogue.flatMap(({ words: [first, second] }) =>
    first === group && second !== undefined ? [second] : [],
  );
}
