import type { VmRecord } from "@banger/core/client";
import type { CommandDefinition } from "./command.js";
import { forEachVm, namesOutcome } from "./for-each-vm.js";
import { vmsPositional } from "./vm-positional.js";

export const vmTouch: CommandDefinition = {
  words: ["vm", "touch"],
  summary: "Count VMs as used now, so that they are not stopped as stale",
  positionals: [vmsPositional],
  examples: [["vm touch web", "let a VM run on that nobody logs in to"]],
  run: async (args, cli) =>
    namesOutcome(
      await forEachVm(cli, args.strings("vm"), ({ id }) =>
        cli.client.read<VmRecord>(`/v1/vms/${id}/touch`, {
          method: "POST",
          signal: cli.io.interrupted,
        }),
      ),
    ),
};
