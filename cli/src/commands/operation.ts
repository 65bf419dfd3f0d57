import {
  isBangerError,
  JoinedError,
  type OperationRecord,
} from "@banger/core/client";
import { reportToShow } from "../client/error-report.js";
import { renderOperation, renderOperationTable } from "../render/operation.js";
import {
  jsonOption,
  type Cli,
  type CommandDefinition,
  type PositionalDefinition,
} from "./command.js";
import { operate } from "./operate.js";
import { unlessAbsent } from "./unless-absent.js";

const operationPositional: PositionalDefinition = {
  name: "operation",
  describe: "id or unique prefix",
  required: true,
  completes: "operation",
};

const pathOf = (operation: string): string =>
  `/v1/operations/${encodeURIComponent(operation)}`;

export const operationList: CommandDefinition = {
  words: ["operation", "list"],
  alias: "operations",
  summary: "List what the daemon is doing",
  options: {
    all: {
      type: "boolean",
      alias: "a",
      describe: "what ended within the last hour too",
    },
    ...jsonOption,
  },
  examples: [
    ["operation list", "what is under way; banger operations is the same"],
    ["operation list -a --json", "also what ended, as JSON"],
  ],
  run: async (args, { runningClient, style }) => {
    // A daemon that does not run does nothing: no reason to start one.
    const known =
      (await unlessAbsent(
        runningClient.read<readonly OperationRecord[]>("/v1/operations"),
      )) ?? [];
    const operations = args.flag("all")
      ? known
      : known.filter(({ state }) => state === "running");
    return {
      json: operations,
      text: () => renderOperationTable(operations, style),
    };
  },
};

export const operationShow: CommandDefinition = {
  words: ["operation", "show"],
  summary: "Follow an operation to its end, and show what it came to",
  positionals: [operationPositional],
  options: {
    json: { type: "boolean", describe: "print JSON, at once" },
  },
  examples: [
    ["operation show op-5f", "its stages as they come; Ctrl-C only leaves"],
    ["operation show op-5f --json", "how far it is now"],
  ],
  // Leaving ends nothing.
  endsSilently: true,
  run: async (args, cli) => {
    const { runningClient, style } = cli;
    const path = pathOf(args.required("operation"));
    const record = await runningClient.read<OperationRecord>(path);
    if (args.flag("json")) return { json: record };
    const shown =
      record.state === "running" ? await followed(cli, record.id) : record;
    return { text: () => renderOperation(shown, style) };
  },
};

export const operationCancel: CommandDefinition = {
  words: ["operation", "cancel"],
  summary: "Cancel operations; what they began is undone",
  positionals: [
    {
      ...operationPositional,
      describe: "ids or unique prefixes",
      many: true,
    },
  ],
  examples: [["operation cancel op-5f", "as Ctrl-C where it was begun"]],
  run: async (args, { runningClient, io }) => {
    const references = [...new Set(args.strings("operation"))];
    const results = await Promise.allSettled(
      references.map((reference) =>
        runningClient.read<OperationRecord>(pathOf(reference), {
          method: "DELETE",
          signal: io.interrupted,
        }),
      ),
    );
    io.interrupted.throwIfAborted();
    const cancelled = results.flatMap((result) =>
      result.status === "fulfilled" ? [result.value.id] : [],
    );
    const failures = results.flatMap((result) =>
      result.status === "rejected" ? [result.reason as unknown] : [],
    );
    if (failures.length === 0) return { text: () => cancelled.join("\n") };
    const error =
      results.length === 1
        ? failures[0]
        : new JoinedError(
            `${failures.length} of ${results.length} were not cancelled`,
            failures,
          );
    return { text: () => cancelled.join("\n"), error };
  },
};

/** The record of an operation at its end, whatever that is; its stages go to stderr until then. */
async function followed(cli: Cli, id: string): Promise<OperationRecord> {
  try {
    await operate(
      { ...cli, client: cli.runningClient },
      { method: "GET", path: `${pathOf(id)}/events` },
    );
  } catch (error) {
    const isOutcome =
      isBangerError(error) && reportToShow(error).operationId === id;
    if (!isOutcome) throw error;
  }
  return cli.runningClient.read<OperationRecord>(pathOf(id), {
    signal: cli.io.interrupted,
  });
}
