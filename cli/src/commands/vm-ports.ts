import type { ReachablePort } from "@banger/core/client";
import { renderPorts } from "../render/ports.js";
import { jsonOption, type Cli, type CommandDefinition } from "./command.js";
import { forEachVm, type ServedVm } from "./for-each-vm.js";
import { note } from "./operate.js";
import { vmsPositional } from "./vm-positional.js";

export const vmPorts: CommandDefinition = {
  words: ["vm", "ports"],
  summary: "List what listens in VMs, and where this host reaches it",
  positionals: [vmsPositional],
  options: jsonOption,
  examples: [
    ["vm ports web", "ports, their processes and endpoints"],
    ["vm ports web db --json", "the same for scripts"],
  ],
  run: async (args, cli) => {
    const { served, error } = await forEachVm(cli, args.strings("vm"), (vm) =>
      cli.client.read<readonly ReachablePort[]>(`/v1/vms/${vm.id}/ports`, {
        signal: cli.io.interrupted,
      }),
    );
    if (!args.flag("json")) hintForwards(cli, served);
    return {
      json: served.map(({ vm, value }) => ({
        ...{ id: vm.id, name: vm.name },
        ports: value,
      })),
      text: () =>
        renderPorts(
          served.map(({ vm, value }) => ({ name: vm.name, ports: value })),
          cli.style,
        ),
      ...(error === undefined ? {} : { error }),
    };
  },
};

/** One line that helps, for the first port of each VM that is out of reach. */
function hintForwards(
  cli: Cli,
  served: readonly ServedVm<readonly ReachablePort[]>[],
): void {
  for (const { vm, value } of served) {
    const lost = value.find(
      ({ protocol, endpoint }) => protocol === "tcp" && endpoint === undefined,
    );
    if (lost)
      note(
        cli,
        `hint: reach port ${lost.port} of ${vm.name}: banger vm forward ${vm.name} ${lost.port}`,
      );
  }
}
