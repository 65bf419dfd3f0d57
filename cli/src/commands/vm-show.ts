import { join } from "node:path";
import type { VmRecord } from "@banger/core/client";
import { renderTimeline } from "../render/timeline.js";
import { renderVm } from "../render/vm.js";
import { jsonOption, type CommandDefinition } from "./command.js";
import { vmPositional } from "./vm-positional.js";

export const vmShow: CommandDefinition = {
  words: ["vm", "show"],
  summary: "Show all that is known of a VM",
  positionals: [vmPositional],
  options: {
    timeline: {
      type: "boolean",
      describe: "stages and hooks of its last start, with times",
    },
    ...jsonOption,
  },
  examples: [
    ["vm show web", "state, sizes, addresses, directories"],
    ["vm show web --timeline", "where the last start spent its time"],
  ],
  run: async (args, { client, paths, style }) => {
    const path = `/v1/vms/${encodeURIComponent(args.required("vm"))}`;
    const vm = await client.read<VmRecord>(path);
    const { lastStart = [] } = vm.runtime;
    return args.flag("timeline")
      ? { json: lastStart, text: () => renderTimeline(lastStart, style) }
      : {
          json: vm,
          text: () =>
            renderVm(vm, style, join(paths.sshDirectory, "id_ed25519")),
        };
  },
};
