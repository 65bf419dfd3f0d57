import { parseSize } from "@banger/core/client";
import type { CreateVmBody } from "@banger/host/client";
import type { Arguments } from "./arguments.js";
import { jsonOption, type OptionDefinition } from "./command.js";

const accelerators = ["auto", "kvm", "emulate"] as const;
const drivers = ["auto", "firecracker", "qemu"] as const;

export const sizeOptions = {
  vcpu: { type: "string", describe: "number of vCPUs" },
  memory: {
    type: "string",
    describe: "guest memory, such as 2G; a bare number is MiB",
  },
  "disk-size": {
    type: "string",
    describe: "size of the disk at /root, such as 8G",
  },
} satisfies Record<string, OptionDefinition>;

export const yesOption = {
  yes: {
    type: "boolean",
    alias: "y",
    describe: "install missing host packages without asking",
  },
} satisfies Record<string, OptionDefinition>;

/** What `vm run` and `vm create` have in common. */
export const createOptions = {
  name: { type: "string", describe: "name of the VM; made up when absent" },
  image: { type: "string", describe: "image to boot", completes: "image" },
  ...sizeOptions,
  nat: {
    type: "boolean",
    describe: "let the guest open connections to the outside",
  },
  plugin: {
    type: "strings",
    describe: "use this plugin too; may be repeated",
    completes: "plugin",
  },
  "no-plugin": {
    type: "strings",
    describe: "leave this plugin out; may be repeated",
    completes: "plugin",
  },
  accel: {
    type: "string",
    describe: "how the guest's CPU runs",
    choices: accelerators,
  },
  driver: {
    type: "string",
    describe: "what runs the guest",
    choices: drivers,
  },
  ...jsonOption,
  ...yesOption,
} satisfies Record<string, OptionDefinition>;

/** @throws a usage error for what is wrong at first sight; the daemon checks the rest */
export function createBody(args: Arguments): CreateVmBody {
  const name = args.string("name");
  const image = args.string("image");
  const vcpus = args.number("vcpu");
  const accel = accelerators.find((known) => known === args.string("accel"));
  const driver = args.string("driver");
  const plugins = args.strings("plugin");
  const withoutPlugins = args.strings("no-plugin");
  return {
    ...(name === undefined ? {} : { name }),
    ...(image === undefined ? {} : { image }),
    ...(vcpus === undefined ? {} : { vcpus }),
    ...sizes(args),
    ...(args.flag("nat") ? { nat: true } : {}),
    ...(plugins.length === 0 ? {} : { plugins: [...plugins] }),
    ...(withoutPlugins.length === 0
      ? {}
      : { withoutPlugins: [...withoutPlugins] }),
    ...(accel === undefined ? {} : { accel }),
    ...(driver === undefined ? {} : { driver }),
  };
}

/** Sizes as the user wrote them, once they are known to be sizes. */
export function sizes(args: Arguments): {
  memory?: string;
  diskSize?: string;
} {
  const memory = args.string("memory");
  const diskSize = args.string("disk-size");
  if (memory !== undefined) parseSize(memory, "--memory");
  if (diskSize !== undefined) parseSize(diskSize, "--disk-size");
  return {
    ...(memory === undefined ? {} : { memory }),
    ...(diskSize === undefined ? {} : { diskSize }),
  };
}
