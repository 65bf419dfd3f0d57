import { nearestName, suggestName } from "@banger/core/client";
import yargs, { type Argv } from "yargs";
import { Arguments } from "./arguments.js";
import { catalogue, groups } from "./catalogue.js";
import type { CommandDefinition } from "./command.js";
import {
  guestCommandHint,
  looksLikeProgram,
  positionalPlaces,
} from "./guest-command-hint.js";
import { checkCommandWords, commandMissing } from "./unknown-command.js";
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
  checkCommandWords(argv);
  let found: { command?: CommandDefinition; values: Values } | undefined;
  let group: string | undefined;
  let called: CommandDefinition | undefined;
  const parser = configure(yargs([]), version, () => called);
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
      builder: (inner) => {
        called = command;
        return describeCommand(inner, command);
      },
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
    checkUnknown(found.command, found.values, argv);
    const args = new Arguments(found.values, argv);
    checkGuestCommand(found.command, args);
    return { kind: "run", command: found.command, args };
  }
  if (group !== undefined) throw commandMissing(group);
  throw new UsageError("the command is missing", {
    hint: "See: banger --help",
  });
}

function configure(
  parser: Argv,
  version: string,
  called: () => CommandDefinition | undefined,
): Argv {
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
      throw rephrase(error?.message ?? message ?? "wrong usage", called());
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

/** The whole command line, as help and hints show it. */
function usageLine(command: CommandDefinition): string {
  const rest =
    command.guestCommand === undefined
      ? ""
      : command.guestCommand === "required"
        ? " -- <command..>"
        : " [-- command..]";
  return `banger ${usageOf(command)} [options]${rest}`;
}

function describeCommand(parser: Argv, command: CommandDefinition): Argv {
  const { positionals = [], options = {}, examples } = command;
  parser.usage(`${usageLine(command)}\n\n${command.summary}`).epilogue("");
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

function checkUnknown(
  command: CommandDefinition,
  values: Values,
  argv: readonly string[],
): void {
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
    const flag = `${name.length === 1 ? "-" : "--"}${name}`;
    const nearest = nearestName(name, flags);
    throw new UsageError(`unknown flag ${flag}`, {
      hint:
        forgottenDashes(command, argv, nearest === undefined) ??
        (nearest === undefined
          ? `See: banger ${words.join(" ")} --help`
          : `Did you mean --${nearest}?`),
    });
  }
  const called = (values["_"] as readonly unknown[]).map(String);
  const isAlias = called[0] === command.alias;
  const extra = called[isAlias ? 1 : words.length];
  if (extra === undefined) return;
  throw new UsageError(`unexpected argument ${JSON.stringify(extra)}`, {
    hint:
      forgottenDashes(command, argv, false) ??
      `See: banger ${words.join(" ")} --help`,
  });
}

/**
 * The hint for a guest command without `--` before it.
 * @param guess take the optional positional for a program when it looks like one
 */
function forgottenDashes(
  command: CommandDefinition,
  argv: readonly string[],
  guess: boolean,
): string | undefined {
  const { guestCommand, positionals = [] } = command;
  if (guestCommand === undefined) return undefined;
  const certain = guestCommandHint(command, argv, positionals.length);
  if (certain !== undefined || !guess) return certain;
  const optional = positionals.findIndex(({ required }) => !required);
  const word = argv[positionalPlaces(command, argv)[optional] ?? -1];
  return word !== undefined && looksLikeProgram(word)
    ? guestCommandHint(command, argv, optional)
    : undefined;
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

/** yargs' sentences in ours. `command` is the one that it was about to parse. */
function rephrase(
  message: string,
  command: CommandDefinition | undefined,
): UsageError {
  const lacking = /^Not enough arguments following: (.*)$/.exec(message);
  if (lacking) return new UsageError(`--${lacking[1] ?? ""} needs a value`);
  const few = /^Not enough non-option arguments: got (\d+)/.exec(message);
  if (few && command) {
    const required = command.positionals?.filter(({ required: is }) => is);
    const name = required?.[Number(few[1])]?.name ?? "argument";
    return new UsageError(`<${name}> is missing`, {
      hint: `Usage: ${usageLine(command)}`,
    });
  }
  const choice = /Argument: (.*?), Given: "(.*?)",? /.exec(message);
  if (choice && command) {
    const [, name = "", given = ""] = choice;
    const option = command.options?.[name];
    const choices =
      option?.choices ??
      command.positionals?.find((one) => one.name === name)?.choices ??
      [];
    return new UsageError(
      `${option ? `--${name}` : `<${name}>`} cannot be ${JSON.stringify(given)}`,
      { hint: suggestName(given, choices) },
    );
  }
  return new UsageError(message.trim().replaceAll(/\s*\n\s*/g, " "));
}
