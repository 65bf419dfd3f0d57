import {
  isBangerError,
  type Image,
  type OperationRecord,
  type VmRecord,
} from "@banger/core/client";
import type { PluginReport } from "@banger/host/client";
import { printableLine } from "../render/printable.js";
import { catalogue, groups } from "./catalogue.js";
import type { Cli, CommandDefinition, Completion } from "./command.js";

/**
 * Candidates for the last of `words`, which may be empty: a line each, with a tab and what it is for. Names come from a daemon that
 * runs already; none is started.
 */
export async function complete(
  words: readonly string[],
  cli: Cli,
): Promise<readonly string[]> {
  const current = words.at(-1) ?? "";
  const before = words.slice(0, -1);
  // The guest's words are the guest's.
  if (before.includes("--")) return [];
  const [first = "", second = ""] = before;
  if (before.length === 0) return matching(current, firstWords());
  const isGroup = Object.hasOwn(groups, first);
  if (isGroup && before.length === 1)
    return matching(current, secondWords(first));
  const command = catalogue.find(
    ({ words: [one, two], alias }) =>
      alias === first ||
      (one === first && (two ?? second) === second) ||
      (two === undefined && one === first),
  );
  if (!command) return [];
  const isAlias = command.alias === first;
  const given = before.slice(isAlias ? 1 : command.words.length);
  const candidates = await candidatesOf(command, given, current, cli);
  return matching(current, candidates);
}

type Candidate = readonly [name: string, what: string];

function matching(
  current: string,
  candidates: readonly Candidate[],
): readonly string[] {
  return candidates
    .filter(([name]) => name.startsWith(current) || name === ":files")
    .map(([name, what]) => (what === "" ? name : `${name}\t${what}`));
}

function firstWords(): readonly Candidate[] {
  return [
    ...Object.entries(groups),
    ...catalogue.flatMap(({ words: [first, second], alias, summary }) => [
      ...(second === undefined ? [[first, summary] as const] : []),
      ...(alias === undefined ? [] : [[alias, summary] as const]),
    ]),
  ];
}

function secondWords(group: string): readonly Candidate[] {
  return catalogue.flatMap(({ words: [first, second], summary }) =>
    first === group && second !== undefined ? [[second, summary] as const] : [],
  );
}

async function candidatesOf(
  { options = {}, positionals = [], guestCommand }: CommandDefinition,
  given: readonly string[],
  current: string,
  cli: Cli,
): Promise<readonly Candidate[]> {
  const named = (word: string | undefined): string | undefined => {
    if (word?.startsWith("--")) return word.slice(2);
    return Object.keys(options).find(
      (name) => word === `-${options[name]?.alias ?? ""}`,
    );
  };
  const takesValue = (word: string | undefined): boolean => {
    const name = named(word);
    const option = name === undefined ? undefined : options[name];
    return option !== undefined && option.type !== "boolean";
  };
  const valuesOf = async (word: string): Promise<readonly Candidate[]> => {
    const { choices, proposals, completes } = options[named(word) ?? ""] ?? {};
    return (
      (choices ?? proposals)?.map((one) => [one, ""] as const) ??
      (await names(completes, cli))
    );
  };
  const last = given.at(-1);
  if (last !== undefined && takesValue(last)) return valuesOf(last);
  const joined = /^(--[^=]+)=/.exec(current)?.[1];
  if (joined !== undefined && takesValue(joined))
    return (await valuesOf(joined)).map(([name, what]) => [
      `${joined}=${name}`,
      what,
    ]);
  if (current.startsWith("-"))
    return [
      ...Object.entries(options).map(
        ([name, { describe }]) => [`--${name}`, describe] as const,
      ),
      ["--help", "show help"],
      ...(guestCommand ? [["--", "a command for the guest"] as const] : []),
    ];
  const places = given.filter(
    (word, index) => !word.startsWith("-") && !takesValue(given[index - 1]),
  );
  const place =
    positionals[places.length] ?? positionals.findLast(({ many }) => many);
  if (!place) return [];
  return place.choices
    ? place.choices.map((one) => [one, ""])
    : names(place.completes, cli);
}

async function names(
  kind: Completion | undefined,
  { runningClient }: Cli,
): Promise<readonly Candidate[]> {
  try {
    switch (kind) {
      case "path":
        return [[":files", ""]];
      case "vm":
        return (await runningClient.read<readonly VmRecord[]>("/v1/vms")).map(
          ({ name, state }) => [name, state],
        );
      case "image":
        return (await runningClient.read<readonly Image[]>("/v1/images")).map(
          ({ name, distribution }) => [name, distribution],
        );
      case "plugin":
        return (
          await runningClient.read<readonly PluginReport[]>("/v1/plugins")
        ).map(({ manifest, description }) => [manifest.id, description]);
      case "operation":
        return (
          await runningClient.read<readonly OperationRecord[]>("/v1/operations")
        )
          .filter(({ state }) => state === "running")
          .map(({ id, what }) => [id, printableLine(what)]);
      case undefined:
        return [];
    }
  } catch (error) {
    // Completion is silent: without a daemon there are no names.
    if (isBangerError(error)) return [];
    throw error;
  }
}
