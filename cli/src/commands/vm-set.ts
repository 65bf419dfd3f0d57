import type { VmRecord } from "@banger/core/client";
import type { ChangeVmBody } from "@banger/host/client";
import { renderSpec } from "../render/vm.js";
import type { Arguments } from "./arguments.js";
import type { CommandDefinition } from "./command.js";
import { forEachVm } from "./for-each-vm.js";
import { note, operate } from "./operate.js";
import { UsageError } from "./usage-error.js";
import { sizeOptions, sizes } from "./vm-options.js";
import { vmsPositional } from "./vm-positional.js";

export const vmSet: CommandDefinition = {
  words: ["vm", "set"],
  summary: "Change what VMs have; name and sizes only while they do not run",
  positionals: [vmsPositional],
  options: {
    name: { type: "string", describe: "new name, when one VM is named" },
    ...sizeOptions,
    nat: { type: "boolean", describe: "let the guest out" },
    "no-nat": { type: "boolean", describe: "keep the guest in" },
    json: {
      type: "boolean",
      describe: "print JSON: one VM, or a list when several are named",
    },
  },
  examples: [
    ["vm set web --memory 4G --vcpu 2", "give a stopped VM more"],
    ["vm set web db --disk-size 20G", "grow the disks at /root of two"],
    ["vm set web --name www", "rename a stopped VM"],
  ],
  run: async (args, cli) => {
    const references = args.strings("vm");
    const isSingle = new Set(references).size === 1;
    const body = changeBody(args);
    if (body.name !== undefined && !isSingle)
      throw new UsageError("--name is for one VM at a time");
    const quiet = args.flag("json");
    const { served, error } = await forEachVm(
      cli,
      references,
      async ({ id }, label) => {
        const { value: vm } = await operate<VmRecord>(cli, {
          method: "PATCH",
          path: `/v1/vms/${id}`,
          body,
          quiet,
          label,
        });
        const prefix = label === undefined ? "" : `${label}: `;
        if (!quiet) note(cli, `${prefix}spec: ${renderSpec(vm.spec)}`);
        return vm;
      },
    );
    const vms = served.map(({ value }) => value);
    return {
      json: isSingle ? vms[0] : vms,
      text: () => vms.map(({ name }) => name).join("\n"),
      ...(error === undefined ? {} : { error }),
    };
  },
};

function changeBody(args: Arguments): ChangeVmBody {
  const name = args.string("name");
  const vcpus = args.number("vcpu");
  const on = args.flag("nat");
  const off = args.flag("no-nat");
  if (on && off) throw new UsageError("--nat and --no-nat exclude each other");
  const body = {
    ...(name === undefined ? {} : { name }),
    ...(vcpus === undefined ? {} : { vcpus }),
    ...sizes(args),
    ...(on || off ? { nat: on } : {}),
  };
  if (Object.keys(body).length === 0)
    throw new UsageError("there is nothing to change", {
      hint: "Give at least one of --name, --vcpu, --memory, --disk-size, --nat, --no-nat",
    });
  return body;
}
