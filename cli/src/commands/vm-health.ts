import type { VmHealth } from "@banger/core/client";
import { renderChecks } from "../render/checks.js";
import { jsonOption, type CommandDefinition } from "./command.js";
import { forEachVm } from "./for-each-vm.js";
import { vmsPositional } from "./vm-positional.js";

export const vmHealth: CommandDefinition = {
  words: ["vm", "health"],
  summary: "Check VMs from outside and inside; status 1 when one is not well",
  positionals: [vmsPositional],
  options: jsonOption,
  examples: [
    ["vm health web", "process, agent, SSH, published ports; what helps"],
    ["vm health web db --json", "the same for scripts; check ids are stable"],
  ],
  run: async (args, cli) => {
    const { served, error } = await forEachVm(cli, args.strings("vm"), (vm) =>
      cli.client.read<VmHealth>(`/v1/vms/${vm.id}/health`, {
        signal: cli.io.interrupted,
      }),
    );
    const sections = served.map(({ vm, value }) => ({
      section: vm.name,
      checks: value.checks,
    }));
    return {
      json: served.map(({ vm, value }) => ({
        ...{ id: vm.id, name: vm.name },
        ...value,
      })),
      text: () => renderChecks(sections, cli.style),
      exitCode: served.every(({ value }) => value.healthy) ? 0 : 1,
      ...(error === undefined ? {} : { error }),
    };
  },
};
