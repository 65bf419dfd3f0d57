import type { VmRecord } from "@banger/core/client";
import type { PruneVmsBody } from "@banger/host/client";
import { printableLine } from "../render/printable.js";
import { renderVmTable } from "../render/vm.js";
import { askYesOrNo } from "../terminal/ask.js";
import { jsonOption, type Cli, type CommandDefinition } from "./command.js";
import { note, operate } from "./operate.js";
import { UsageError } from "./usage-error.js";

export const vmPrune: CommandDefinition = {
  words: ["vm", "prune"],
  summary: "Delete the VMs that do not run",
  options: {
    force: {
      type: "boolean",
      alias: "f",
      describe: "do not ask; needed without a terminal",
    },
    ...jsonOption,
  },
  examples: [
    ["vm prune", "show what would go, and ask"],
    ["vm prune --force", "delete all that are stopped, created or in error"],
  ],
  run: async (args, cli) => {
    const quiet = args.flag("json");
    const all = await cli.client.read<readonly VmRecord[]>("/v1/vms");
    const candidates = all.filter(isPrunable);
    if (candidates.length === 0) {
      if (!quiet) note(cli, "nothing to prune");
      return { json: [] };
    }
    if (!args.flag("force") && !(await agrees(cli, candidates))) {
      note(cli, "nothing was deleted");
      return { json: [] };
    }
    const body: PruneVmsBody = { ids: candidates.map(({ id }) => id) };
    const { value: deleted } = await operate<readonly VmRecord[]>(cli, {
      method: "POST",
      path: "/v1/vms/prune",
      body,
      quiet,
    });
    if (!quiet) await tellKept(cli, candidates, deleted);
    return {
      json: deleted,
      text: () => deleted.map(({ name }) => name).join("\n"),
    };
  },
};

/** A provisional VM is being started: it belongs to the command that makes it. */
function isPrunable({ state, runtime }: VmRecord): boolean {
  return state !== "running" && runtime.provisional !== true;
}

/** The daemon leaves what came to life since it was looked at; what somebody else has deleted is gone as it should. */
async function tellKept(
  cli: Cli,
  candidates: readonly VmRecord[],
  deleted: readonly VmRecord[],
): Promise<void> {
  const gone = new Set(deleted.map(({ id }) => id));
  const left = new Set(
    candidates.map(({ id }) => id).filter((id) => !gone.has(id)),
  );
  if (left.size === 0) return;
  const now = await cli.client.read<readonly VmRecord[]>("/v1/vms");
  for (const { id, name } of now)
    if (left.has(id))
      note(
        cli,
        `${printableLine(name)} was not deleted: it was started meanwhile`,
      );
}

/** Shows what would go and asks. @throws UsageError where nobody can be asked, Interruption after Ctrl-C */
async function agrees(
  cli: Cli,
  candidates: readonly VmRecord[],
): Promise<boolean> {
  const { io, errorStyle } = cli;
  const isOne = candidates.length === 1;
  const count = isOne ? "1 VM" : `${candidates.length} VMs`;
  if (io.stdin.isTTY !== true || io.stderr.isTTY !== true)
    throw new UsageError(
      `${count} would be deleted, and there is no terminal to ask on`,
      { hint: "Delete them without being asked: banger vm prune --force" },
    );
  note(cli, renderVmTable(candidates, errorStyle));
  const disks = isOne ? "its disks" : "their disks";
  return askYesOrNo(io, `Delete ${count} and ${disks}? [y/N] `);
}
