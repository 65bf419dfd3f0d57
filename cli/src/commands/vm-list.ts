import type { VmRecord } from "@banger/core/client";
import { renderVmTable } from "../render/vm.js";
import { jsonOption, type CommandDefinition } from "./command.js";

export const vmList: CommandDefinition = {
  words: ["vm", "list"],
  alias: "ps",
  summary: "List running VMs",
  options: {
    all: { type: "boolean", alias: "a", describe: "those that do not run too" },
    quiet: { type: "boolean", alias: "q", describe: "print ids only" },
    ...jsonOption,
  },
  examples: [
    ["vm list", "running VMs; banger ps is the same"],
    ["vm list -a --json", "all of them, as JSON"],
    ["vm delete $(banger vm list -aq)", "delete all VMs"],
  ],
  run: async (args, { client, style }) => {
    const all = await client.read<readonly VmRecord[]>("/v1/vms");
    const vms = args.flag("all")
      ? all
      : all.filter(({ state }) => state === "running");
    return {
      json: vms,
      text: () =>
        args.flag("quiet")
          ? vms.map(({ id }) => id).join("\n")
          : renderVmTable(vms, style),
    };
  },
};
