import { renderDuration } from "../render/duration.js";
import type { CommandDefinition, PositionalDefinition } from "./command.js";
import { forEachVm } from "./for-each-vm.js";
import { withHostPackages } from "./host-packages.js";
import { note } from "./operate.js";

const vms: PositionalDefinition = {
  name: "vm",
  describe: "names, ids or unique prefixes",
  required: true,
  many: true,
  completes: "vm",
};

export const vmStart: CommandDefinition = {
  words: ["vm", "start"],
  summary: "Start VMs that do not run",
  positionals: [vms],
  options: {
    yes: {
      type: "boolean",
      alias: "y",
      describe: "install missing host packages without asking",
    },
  },
  examples: [
    ["vm start web", "start a VM"],
    ["vm start web db", "start two side by side"],
  ],
  run: (args, cli) =>
    withHostPackages(cli, args.flag("yes"), () =>
      forEachVm(
        cli,
        args.strings("vm"),
        { method: "POST", subpath: "/start" },
        (vm, elapsedMs) => {
          note(
            cli,
            vm.state === "running"
              ? `already running: ${vm.name}`
              : `ready in ${renderDuration(elapsedMs)}: ${vm.name}`,
          );
        },
      ),
    ),
};

export const vmStop: CommandDefinition = {
  words: ["vm", "stop"],
  summary: "Stop VMs and keep their data",
  positionals: [vms],
  options: {
    force: {
      type: "boolean",
      alias: "f",
      describe: "do not ask the guest to shut down first",
    },
  },
  examples: [
    ["vm stop web", "shut a VM down"],
    ["vm stop --force web", "end one that hangs"],
  ],
  run: (args, cli) =>
    forEachVm(
      cli,
      args.strings("vm"),
      {
        method: "POST",
        subpath: "/stop",
        body: { force: args.flag("force") },
      },
      ({ state, name }) => {
        if (state === "stopped" || state === "created")
          note(cli, `already stopped: ${name}`);
      },
    ),
};

export const vmDelete: CommandDefinition = {
  words: ["vm", "delete"],
  summary: "End VMs and erase their disks",
  positionals: [vms],
  examples: [
    ["vm delete web", "delete a VM, running or not"],
    ["vm delete $(banger vm list -aq)", "delete all VMs"],
  ],
  run: (args, cli) => forEachVm(cli, args.strings("vm"), { method: "DELETE" }),
};
