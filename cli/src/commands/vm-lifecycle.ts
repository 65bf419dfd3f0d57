import type { VmRecord } from "@banger/core/client";
import { renderDuration } from "../render/duration.js";
import type { Arguments } from "./arguments.js";
import type { Cli, CommandDefinition, Outcome } from "./command.js";
import { forEachVm, namesOutcome, type VmChoice } from "./for-each-vm.js";
import { withHostPackages } from "./host-packages.js";
import { note, operate } from "./operate.js";
import { UsageError } from "./usage-error.js";
import { yesOption } from "./vm-options.js";
import { vmsPositional } from "./vm-positional.js";

export const vmStart: CommandDefinition = {
  words: ["vm", "start"],
  summary: "Start VMs that do not run",
  positionals: [vmsPositional],
  options: yesOption,
  examples: [
    ["vm start web", "start a VM"],
    ["vm start web db", "start two side by side"],
  ],
  run: (args, cli) =>
    bringUp(args, cli, "start", ({ state, name }, elapsedMs) =>
      state === "running"
        ? `already running: ${name}`
        : `ready in ${renderDuration(elapsedMs)}: ${name}`,
    ),
};

export const vmRestart: CommandDefinition = {
  words: ["vm", "restart"],
  summary: "Stop VMs and start them again; one that does not run is started",
  positionals: [vmsPositional],
  options: yesOption,
  examples: [
    ["vm restart web", "shut a VM down and boot it anew, with its data"],
    ["vm restart web db", "restart two side by side"],
  ],
  run: (args, cli) =>
    bringUp(
      args,
      cli,
      "restart",
      ({ name }, elapsedMs) => `ready in ${renderDuration(elapsedMs)}: ${name}`,
    ),
};

/** @param describe what to say of a VM, as it was before, that runs now */
function bringUp(
  args: Arguments,
  cli: Cli,
  how: "start" | "restart",
  describe: (vm: VmRecord, elapsedMs: number) => string,
): Promise<Outcome> {
  return withHostPackages(cli, args.flag("yes"), async () =>
    namesOutcome(
      await forEachVm(cli, args.strings("vm"), async (vm, label) => {
        const { elapsedMs } = await operate(cli, {
          method: "POST",
          path: `/v1/vms/${vm.id}/${how}`,
          label,
        });
        note(cli, describe(vm, elapsedMs));
      }),
    ),
  );
}

export const vmStop: CommandDefinition = {
  words: ["vm", "stop"],
  summary: "Stop VMs and keep their data",
  positionals: [{ ...vmsPositional, required: false }],
  options: {
    all: { type: "boolean", describe: "every VM that runs" },
    force: {
      type: "boolean",
      alias: "f",
      describe: "do not ask the guest to shut down first",
    },
  },
  examples: [
    ["vm stop web", "shut a VM down"],
    ["vm stop --force web", "end one that hangs"],
    ["vm stop --all", "shut down all that run"],
  ],
  run: async (args, cli) => {
    const body = { force: args.flag("force") };
    const stopped = await forEachVm(cli, toStop(args), (vm, label) =>
      endVm(cli, vm, { how: "stop", body, label }),
    );
    if (args.flag("all") && stopped.served.length === 0)
      note(cli, "no VM runs");
    return namesOutcome(stopped);
  },
};

function toStop(args: Arguments): VmChoice {
  const references = args.strings("vm");
  if (args.flag("all")) {
    if (references.length === 0) return ({ state }) => state === "running";
    throw new UsageError("--all and names of VMs exclude each other");
  }
  if (references.length > 0) return references;
  throw new UsageError("<vm> is missing", {
    hint: "Name VMs, or stop all that run: banger vm stop --all",
  });
}

/** Ends a VM, and says when there was nothing to end. */
export async function endVm(
  cli: Cli,
  vm: VmRecord,
  request: {
    readonly how: "stop" | "kill";
    readonly body: unknown;
    readonly label: string | undefined;
  },
): Promise<void> {
  const { how, body, label } = request;
  // In state `error` a process may be left, and a start under way is told as cancelled.
  let mayHaveRun = vm.state === "running" || vm.state === "error";
  await operate(cli, {
    method: "POST",
    path: `/v1/vms/${vm.id}/${how}`,
    body,
    label,
    onStage: (stage) => {
      mayHaveRun ||= stage === "cancel";
    },
  });
  if (!mayHaveRun) note(cli, `already stopped: ${vm.name}`);
}

export const vmDelete: CommandDefinition = {
  words: ["vm", "delete"],
  summary: "End VMs and erase their disks",
  positionals: [vmsPositional],
  examples: [
    ["vm delete web", "delete a VM, running or not"],
    ["vm delete $(banger vm list -aq)", "delete all VMs"],
  ],
  run: async (args, cli) =>
    namesOutcome(
      await forEachVm(cli, args.strings("vm"), (vm, label) =>
        operate(cli, { method: "DELETE", path: `/v1/vms/${vm.id}`, label }),
      ),
    ),
};
