import type { VmRecord, VmRefusals } from "@banger/core/client";
import { renderRefusals } from "../render/refusals.js";
import { jsonOption, type CommandDefinition } from "./command.js";
import { vmPositional } from "./vm-positional.js";

export const vmWhyBlocked: CommandDefinition = {
  words: ["vm", "why-blocked"],
  summary: "List what a running VM may reach and what it was refused",
  positionals: [vmPositional],
  options: jsonOption,
  examples: [
    ["vm why-blocked web", "refused addresses, ports and names, newest first"],
    ["vm why-blocked web --json", "the same for scripts"],
  ],
  run: async (args, { client, io, style }) => {
    const options = { signal: io.interrupted };
    const path = `/v1/vms/${encodeURIComponent(args.required("vm"))}`;
    const vm = await client.read<VmRecord>(path, options);
    const told = await client.read<VmRefusals>(
      `/v1/vms/${vm.id}/refusals`,
      options,
    );
    return {
      json: { id: vm.id, name: vm.name, ...told },
      text: () => renderRefusals(vm, told, style),
    };
  },
};
