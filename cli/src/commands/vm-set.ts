import type { VmRecord } from "@banger/core/client";
import type { ChangeVmBody } from "@banger/host/client";
import { renderSpec } from "../render/vm.js";
import type { Arguments } from "./arguments.js";
import { jsonOption, type CommandDefinition } from "./command.js";
import { note, operate } from "./operate.js";
import { UsageError } from "./usage-error.js";
import { sizeOptions, sizes } from "./vm-options.js";
import { vmPositional } from "./vm-positional.js";

export const vmSet: CommandDefinition = {
  words: ["vm", "set"],
  summary: "Change what a VM has; sizes only while it is stopped",
  positionals: [vmPositional],
  options: {
    ...sizeOptions,
    nat: { type: "boolean", describe: "let the guest out" },
    "no-nat": { type: "boolean", describe: "keep the guest in" },
    ...jsonOption,
  },
  examples: [
    ["vm set web --memory 4G --vcpu 2", "give a stopped VM more"],
    ["vm set web --disk-size 20G", "grow the disk at /root"],
  ],
  run: async (args, cli) => {
    const { value: vm } = await operate<VmRecord>(cli, {
      method: "PATCH",
      path: `/v1/vms/${encodeURIComponent(args.required("vm"))}`,
      body: changeBody(args),
      quiet: args.flag("json"),
    });
    if (!args.flag("json")) note(cli, `spec: ${renderSpec(vm.spec)}`);
    return { json: vm };
  },
};

function changeBody(args: Arguments): ChangeVmBody {
  const vcpus = args.number("vcpu");
  const on = args.flag("nat");
  const off = args.flag("no-nat");
  if (on && off) throw new UsageError("--nat and --no-nat exclude each other");
  const body = {
    ...(vcpus === undefined ? {} : { vcpus }),
    ...sizes(args),
    ...(on || off ? { nat: on } : {}),
  };
  if (Object.keys(body).length === 0)
    throw new UsageError("there is nothing to change", {
      hint: "Give at least one of --vcpu, --memory, --disk-size, --nat, --no-nat",
    });
  return body;
}
