import type { VmRecord } from "@banger/core";
import { isEgressLive } from "../outside.js";

/** What an operation works on, as it is when nothing is under way. */
export type SubjectState =
  "absent" | "created" | "stopped" | "running" | "built";

/** An operation whose every call is a point at which the daemon dies. */
export interface KillOperation {
  readonly name: string;
  readonly subject: "vm" | "image";
  /** state in which it begins */
  readonly needs: SubjectState;
  /** states in which a daemon that died in it may leave its subject, once the next one has reconciled */
  readonly ends: readonly SubjectState[];
  /** the command line; `vm` is there unless it begins without one */
  readonly args: (vm: VmRecord | undefined) => readonly string[];
  /** it refuses on this host, and has to leave everything as it is */
  readonly isRefused?: true;
  /** what else is wrong with the VM afterwards, a line each */
  readonly check?: (before: VmRecord, after: VmRecord) => readonly string[];
}

/** Small guests: the calls are the same. */
const size = ["--vcpu", "1", "--memory", "256M", "--disk-size", "64M"];
const names = ["kill-a", "kill-b"] as const;
export const defaultImage = "debian-bookworm";

/** Creates the VM that the operations work on. */
export const createArguments: readonly string[] = [
  ...["vm", "create", "--no-start", "--name", names[0]],
  ...size,
];

const setRefused: KillOperation = {
  name: "set-refused",
  subject: "vm",
  needs: "running",
  ends: ["running"],
  // User networking cannot open a way out while the guest runs.
  args: (vm) => ["vm", "set", nameOf(vm), "--nat"],
  isRefused: true,
  check: (_before, { spec }) => (spec.nat ? ["NAT is in the record"] : []),
};

const setLive: KillOperation = {
  name: "set-live",
  subject: "vm",
  needs: "running",
  ends: ["running"],
  args: (vm) => ["vm", "set", nameOf(vm), vm?.spec.nat ? "--no-nat" : "--nat"],
};

/** Every operation there is; whether a running guest's way out can be switched depends on the run. */
export const killOperations: readonly KillOperation[] = [
  {
    name: "create",
    subject: "vm",
    needs: "absent",
    ends: ["absent", "created"],
    args: () => createArguments,
  },
  {
    name: "launch",
    subject: "vm",
    needs: "absent",
    ends: ["absent", "running"],
    args: () => ["vm", "run", "-d", "--name", names[0], ...size],
  },
  {
    name: "start",
    subject: "vm",
    needs: "stopped",
    ends: ["stopped", "running"],
    args: (vm) => ["vm", "start", nameOf(vm)],
  },
  {
    name: "stop",
    subject: "vm",
    needs: "running",
    ends: ["running", "stopped"],
    args: (vm) => ["vm", "stop", nameOf(vm)],
  },
  {
    name: "restart",
    subject: "vm",
    needs: "running",
    ends: ["running", "stopped"],
    args: (vm) => ["vm", "restart", nameOf(vm)],
  },
  {
    name: "kill",
    subject: "vm",
    needs: "running",
    ends: ["running", "stopped"],
    args: (vm) => ["vm", "kill", nameOf(vm)],
  },
  {
    name: "delete",
    subject: "vm",
    needs: "running",
    ends: ["running", "stopped", "absent"],
    args: (vm) => ["vm", "delete", nameOf(vm)],
  },
  {
    name: "set",
    subject: "vm",
    needs: "stopped",
    ends: ["stopped"],
    args: (vm) => {
      const { memoryMiB, diskSizeBytes } = changed(vm);
      return [
        ...["vm", "set", nameOf(vm)],
        ...["--memory", `${memoryMiB}M`],
        ...["--disk-size", `${diskSizeBytes / 2 ** 20}M`],
      ];
    },
    check: (before, after) => {
      const { memoryMiB, diskSizeBytes } = after.spec;
      const wanted = changed(before);
      const isWhole = [before.spec, wanted].some(
        (spec) =>
          spec.memoryMiB === memoryMiB && spec.diskSizeBytes === diskSizeBytes,
      );
      return isWhole ? [] : ["half of the change is in the record"];
    },
  },
  {
    name: "rename",
    subject: "vm",
    needs: "stopped",
    ends: ["stopped"],
    args: (vm) => ["vm", "set", nameOf(vm), "--name", otherName(nameOf(vm))],
    check: (before, { name, runtime }) => [
      ...([before.name, otherName(before.name)].includes(name)
        ? []
        : [`its name is ${name}`]),
      ...(runtime.dnsName === `${name}.vm`
        ? []
        : [`${name} is published as ${runtime.dnsName}`]),
    ],
  },
  isEgressLive ? setLive : setRefused,
  {
    name: "image-build",
    subject: "image",
    needs: "absent",
    ends: ["absent", "built"],
    args: () => ["image", "build", defaultImage],
  },
];

function nameOf(vm: VmRecord | undefined): string {
  if (!vm) throw new Error("the operation needs a VM");
  return vm.name;
}

function otherName(name: string): string {
  return name === names[0] ? names[1] : names[0];
}

/** Another memory size, and a disk that has grown: it cannot shrink. */
function changed(
  vm: VmRecord | undefined,
): Pick<VmRecord["spec"], "memoryMiB" | "diskSizeBytes"> {
  if (!vm) throw new Error("the operation needs a VM");
  const { memoryMiB, diskSizeBytes } = vm.spec;
  return {
    memoryMiB: memoryMiB === 256 ? 272 : 256,
    diskSizeBytes: diskSizeBytes + 16 * 2 ** 20,
  };
}
