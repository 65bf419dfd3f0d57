import { CancelledError, type VmRecord } from "@banger/core/client";
import type { PruneVmsBody } from "@banger/host/client";
import { renderVmTable } from "../render/vm.js";
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

/** Shows what would go and asks. @throws UsageError where nobody can be asked, CancelledError after Ctrl-C */
async function agrees(
  cli: Cli,
  candidates: readonly VmRecord[],
): Promise<boolean> {
  const { io, errorStyle } = cli;
  const count = `${candidates.length} ${candidates.length === 1 ? "VM" : "VMs"}`;
  if (io.stdin.isTTY !== true || io.stderr.isTTY !== true)
    throw new UsageError(
      `${count} would be deleted, and there is no terminal to ask on`,
      { hint: "Delete them without being asked: banger vm prune --force" },
    );
  note(cli, renderVmTable(candidates, errorStyle));
  const { confirm, isCancel } = await import("@clack/prompts");
  const answer = await confirm({
    message: `Delete ${count} and their disks?`,
    initialValue: false,
    input: io.stdin,
    output: io.stderr,
  });
  if (isCancel(answer)) throw new CancelledError("the command");
  return answer;
}
