import { setTimeout as sleep } from "node:timers/promises";
import { isBangerError, type VmStats } from "@banger/core/client";
import { renderJson } from "../render/json.js";
import { renderStats, type NamedStats } from "../render/stats.js";
import { printTo } from "../terminal/print-to.js";
import {
  jsonOption,
  type Cli,
  type CommandDefinition,
  type Outcome,
} from "./command.js";
import { forEachVm } from "./for-each-vm.js";
import { vmsPositional } from "./vm-positional.js";

const watchPauseMs = 2_000;
/** Cursor to the corner, and nothing below it. */
const clearScreen = "\u001b[H\u001b[J";

export const vmStats: CommandDefinition = {
  words: ["vm", "stats"],
  summary: "Show what running VMs use",
  positionals: [{ ...vmsPositional, required: false }],
  options: {
    watch: {
      type: "boolean",
      alias: "w",
      describe: "look again every two seconds",
    },
    ...jsonOption,
  },
  examples: [
    ["vm stats", "CPU, memory, disk and load of every running VM"],
    ["vm stats --watch web", "one VM, until Ctrl-C"],
    ["vm stats --json web", "the same for scripts"],
  ],
  endsSilently: true,
  run: async (args, cli) => {
    const references = args.strings("vm");
    if (args.flag("watch")) return watch(cli, references, args.flag("json"));
    const { all, error } = await look(cli, references);
    return {
      json: all,
      text: () => renderStats(all, cli.style),
      ...(error === undefined ? {} : { error }),
    };
  },
};

/** Until an interruption: a screen that is drawn anew on a terminal, and lines below each other otherwise. */
async function watch(
  cli: Cli,
  references: readonly string[],
  asJson: boolean,
): Promise<Outcome> {
  const { stdout, interrupted } = cli.io;
  for (let hasHeader = false; ;) {
    const { all, error } = await look(cli, references);
    // Whoever asked for VMs by name wants to know that one has gone.
    if (error !== undefined) throw error;
    const lines = renderStats(all, cli.style);
    const text = asJson
      ? renderJson(all)
      : cli.style.isTerminal
        ? `${clearScreen}${lines}`
        : hasHeader
          ? lines.split("\n").slice(1).join("\n")
          : lines;
    hasHeader ||= all.length > 0;
    if (text !== "") await printTo(stdout, `${text}\n`, interrupted);
    await sleep(watchPauseMs, undefined, { signal: interrupted }).catch(() =>
      interrupted.throwIfAborted(),
    );
  }
}

async function look(
  cli: Cli,
  references: readonly string[],
): Promise<{ readonly all: readonly NamedStats[]; readonly error?: Error }> {
  const isAll = references.length === 0;
  const { served, error } = await forEachVm(
    cli,
    isAll ? ({ state }) => state === "running" : references,
    async ({ id }) => {
      try {
        const signal = cli.io.interrupted;
        return await cli.client.read<VmStats>(`/v1/vms/${id}/stats`, {
          signal,
        });
      } catch (failure) {
        if (isAll && hasEnded(failure)) return undefined;
        throw failure;
      }
    },
  );
  const all = served.flatMap(({ vm, value }) =>
    value ? [{ id: vm.id, name: vm.name, stats: value }] : [],
  );
  return { all, ...(error === undefined ? {} : { error }) };
}

/** It ended between the list and the look. */
function hasEnded(error: unknown): boolean {
  return (
    isBangerError(error) &&
    ["ERR_VM_STATE", "ERR_VM_NOT_FOUND"].includes(error.code)
  );
}
