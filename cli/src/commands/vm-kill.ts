import { suggestName, vmmSignals, type VmmSignal } from "@banger/core/client";
import type { KillVmBody } from "@banger/host/client";
import type { CommandDefinition } from "./command.js";
import { forEachVm, namesOutcome } from "./for-each-vm.js";
import { UsageError } from "./usage-error.js";
import { endVm } from "./vm-lifecycle.js";
import { vmsPositional } from "./vm-positional.js";

export const vmKill: CommandDefinition = {
  words: ["vm", "kill"],
  summary: "End VMs by a signal; what was not written to disk is lost",
  positionals: [vmsPositional],
  options: {
    signal: {
      type: "string",
      alias: "s",
      describe: "for the VMM process, such as TERM or SIGTERM; default KILL",
      proposals: vmmSignals,
    },
  },
  examples: [
    ["vm kill web", "end a VM at once"],
    ["vm kill -s TERM web db", "ask the VMMs of two to end"],
  ],
  run: async (args, cli) => {
    const body: KillVmBody = { signal: parseSignal(args.string("signal")) };
    return namesOutcome(
      await forEachVm(cli, args.strings("vm"), (vm, label) =>
        endVm(cli, vm, { how: "kill", body, label }),
      ),
    );
  },
};

/** `TERM`, `sigterm` and the like. @throws {@link UsageError} */
function parseSignal(text = "KILL"): VmmSignal {
  const name = text.toUpperCase().replace(/^SIG/, "");
  const signal = vmmSignals.find((known) => known === name);
  if (signal !== undefined) return signal;
  throw new UsageError(
    `--signal ${JSON.stringify(text)} is no signal for a VMM`,
    { hint: suggestName(name, vmmSignals) },
  );
}
