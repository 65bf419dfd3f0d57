import { nearestName, suggestName } from "@banger/core/client";
import yargs, { type Argv } from "yargs";
import { Arguments } from "./arguments.js";
import { catalogue, groups } from "./catalogue.js";
import type { CommandDefinition } from "./command.js";
import { UsageError } from "./usage-error.js";

/** What a command line asks for. */
export type Parsed =
  | { readonly kind: "run"; command: CommandDefinition; args: Arguments }
  | { readonly kind: "print"; readonly text: string };

type Values = Record<string, unknown>;

/** @throws {@link UsageError} */
export async function parse(
  argv: readonly string[],
  version: string,
): Promise<Parsed> {
  let found: { command?: CommandDefinition; values: Values } | undefined;
  let group: string | undefined;
  const parser = configure(yargs([]), version);
  const add = (
    to: Argv,
    command: CommandDefinition,
    usage: string,
    aliases: readonly string[],
  ): void => {
    to.command({
      command: usage,
      aliases: [...aliases],
      describe: command.summary,
      builder: (inner) => describeCommand(inner, command),
      handler: (values) => {
        found = { command, values };
      },
    });
  };
  for (const command of catalogue.filter(({ words }) => words.length === 1))
    add(parser, command, usageOf(command), []);
  for (const command of catalogue.filter(({ alias }) => alias !== undefined))
    add(parser, command, usageOf(command, [command.alias ?? ""]), []);
  for (const [name, describe] of Object.entries(groups))
    parser.command({
      command: name,
      describe,
      builder: (inner) => {
        inner.usage(`banger ${name} <command>\n\n${describe}`);
        for (const command of catalogue)
          if (command.words[0] === name && command.words.length === 2)
            add(inner, command, usageOf(command, [command.words[1]]), []);
        return inner;
      },
      handler: (values) => {
        group = name;
        found = { values };
      },
    });
  let printed = "";
  await parser.parseAsync([...argv], {}, (_error, _argv, output) => {
    printed = output;
  });
  if (printed !== "") return { kind: "print", text: printed };
  if (argv.length === 0) return { kind: "print", text: await parser.getHelp() };
  if (found?.command) {
    checkUnknown(found.command, found.values);
    const args = new Arguments(found.values);
    checkGuestCommand(found.command, args);
    return { kind: "run", command: found.command, args };
  }
  throw unknownCommand(group, argv);
}

function configure(parser: Argv, version: string): Argv {
  return parser
    .scriptName("banger")
    .usage("banger <command>\n\nThrow-away Linux microVMs.")
    .detectLocale(false)
    .parserConfiguration({
      "boolean-negation": false,
      "camel-case-expansion": false,
      "dot-notation": false,
      "greedy-arrays": false,
      "parse-numbers": false,
      "parse-positional-numbers": false,
      "populate--": true,
    })
    .exitProcess(false)
    .version(version)
    .help()
    .alias("help", "h")
    .wrap(100)
    .epilogue("Every command has --help with examples.")
    .fail((message: string | null, error: Error | undefined) => {
      if (error && error.name !== "YError") throw error;
      throw new UsageError(
        rephrase(error?.message ?? message ?? "wrong usage"),
      );
    });
}

/** In yargs' notation: `run [path]`. */
function usageOf(
  { words, positionals = [] }: CommandDefinition,
  called: readonly string[] = words,
): string {
  const places = positionals.map(({ name, required, many }) => {
    const inner = many ? `${name}..` : name;
    return required ? `<${inner}>` : `[${inner}]`;
  });
  return [...called, ...places].join(" ");
}

function describeCommand(parser: Argv, command: CommandDefinition): Argv {
  const { words, positionals = [], options = {}, examples } = command;
  const rest =
    command.guestCommand === undefined
      ? ""
      : command.guestCommand === "required"
        ? " -- <command..>"
        : " [-- command..]";
  parser
    .usage(
      `banger ${usageOf(command, words)} [options]${rest}\n\n${command.summary}`,
    )
    .epilogue("");
  for (const { name, describe, choices } of positionals)
    parser.positional(name, {
      type: "string",
      describe,
      ...(choices ? { choices } : {}),
    });
  for (const [name, option] of Object.entries(options)) {
    const { type, describe, alias, choices } = option;
    parser.option(name, {
      describe,
      ...(type === "boolean"
        ? { type }
        : { type: "string", requiresArg: true }),
      ...(type === "strings" ? { array: true } : {}),
      ...(alias === undefined ? {} : { alias }),
      ...(choices ? { choices } : {}),
    });
  }
  for (const [line, what] of examples) parser.example(`banger ${line}`, what);
  return parser;
}

function checkUnknown(command: CommandDefinition, values: Values): void {
  const { words, options = {}, positionals = [] } = command;
  const flags = [...Object.keys(options), "help", "version"];
  const known = new Set([
    ...flags,
    ...positionals.map(({ name }) => name),
    ...Object.values(options).flatMap(({ alias }) => alias ?? []),
    ...["_", "$0", "--", "h"],
  ]);
  for (const name of Object.keys(values)) {
    if (known.has(name)) continue;
    const nearest = nearestName(name, flags);
    throw new UsageError(
      `unknown flag ${name.length === 1 ? "-" : "--"}${name}`,
      {
        hint:
          nearest === undefined
            ? `See: banger ${words.join(" ")} --help`
            : `Did you mean --${nearest}?`,
      },
    );
  }
  const called = (values["_"] as readonly unknown[]).map(String);
  const isAlias = called[0] === command.alias;
  const extra = called[isAlias ? 1 : words.length];
  if (extra === undefined) return;
  throw new UsageError(`unexpected argument ${JSON.stringify(extra)}`, {
    hint:
      command.guestCommand === undefined
        ? `See: banger ${words.join(" ")} --help`
        : "A command for the guest comes after --",
  });
}

function checkGuestCommand(command: CommandDefinition, args: Arguments): void {
  const given = args.guestCommand !== undefined;
  const name = command.words.join(" ");
  if (given && command.guestCommand === undefined)
    throw new UsageError(`banger ${name} takes no command after --`);
  if (!given && command.guestCommand === "required")
    throw new UsageError("the command is missing", {
      hint: `See: banger ${name} --help`,
    });
}

function unknownCommand(
  group: string | undefined,
  argv: readonly string[],
): UsageError {
  const words = argv.filter((word) => !word.startsWith("-"));
  const known =
    group === undefined
      ? [
          ...Object.keys(groups),
          ...catalogue.flatMap(({ words: [first, second], alias }) => [
            ...(second === undefined ? [first] : []),
            ...(alias === undefined ? [] : [alias]),
          ]),
        ]
      : catalogue.flatMap(({ words: [first, second] }) =>
          first === group && second !== undefined ? [second] : [],
        );
  const word = words[group === undefined ? 0 : 1];
  const prefix = group === undefined ? "" : `${group} `;
  if (word !== undefined)
    return new UsageError(`unknown command ${JSON.stringify(prefix + word)}`, {
      hint: suggestName(word, known),
    });
  return group === undefined
    ? new UsageError(`unknown flag ${argv[0] ?? ""}`, {
        hint: "See: banger --help",
      })
    : new UsageError(`banger ${group} needs a command`, {
        hint: `One of: ${known.join(", ")}`,
      });
}

/** yargs' sentences in ours. */
function rephrase(message: string): string {
  const lacking = /^Not enough arguments following: (.*)$/.exec(message);
  if (lacking) return `--${lacking[1] ?? ""} needs a value`;
  if (message.startsWith("Not enough non-option arguments"))
    return "an argument is missing";
  return message.trim().replaceAll(/\s*\n\s*/g, " ");
}
