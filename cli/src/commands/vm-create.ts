import type { VmRecord } from "@banger/core/client";
import { renderDuration } from "../render/duration.js";
import { renderSpec } from "../render/vm.js";
import type { CommandDefinition } from "./command.js";
import { withHostPackages } from "./host-packages.js";
import { note, operate } from "./operate.js";
import { createBody, createOptions } from "./vm-options.js";

export const vmCreate: CommandDefinition = {
  words: ["vm", "create"],
  summary: "Create a VM and start it; prints its name",
  options: {
    ...createOptions,
    "no-start": { type: "boolean", describe: "create it only" },
  },
  examples: [
    ["vm create --name web --vcpu 2 --memory 4G", "a VM that stays"],
    ["vm create --no-start --plugin nat", "one to start later"],
  ],
  run: async (args, cli) => {
    const start = !args.flag("no-start");
    const quiet = args.flag("json");
    const body = { ...createBody(args), start };
    const { value: vm, elapsedMs } = await withHostPackages(
      cli,
      args.flag("yes"),
      () =>
        operate<VmRecord>(cli, {
          method: "POST",
          path: "/v1/vms",
          body,
          quiet,
        }),
    );
    if (!quiet) {
      const { spec, runtime } = vm;
      note(cli, `spec: ${renderSpec(spec, start ? runtime.accel : undefined)}`);
      const what = start ? "ready" : "created";
      note(cli, `${what} in ${renderDuration(elapsedMs)}: ${vm.name}`);
    }
    return { json: vm, text: () => vm.name };
  },
};
