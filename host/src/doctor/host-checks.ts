import {
  describeError,
  formatSize,
  type Check,
  type HostFacts,
  type ImageStore,
  type ReconcileReport,
  type VmFiles,
  type VmStore,
} from "@banger/core";
import type { HostNetwork } from "../network/host-network.js";
import type { HostRequirements } from "../setup/requirements.js";
import { subordinateIdProblem } from "../setup/subordinate-ids.js";
import { privilegeCheck, type PrivilegeCheckDeps } from "./privilege-check.js";
import { rootDiskCheck, type RootDiskCheckDeps } from "./root-disk-check.js";
import { accelCheck, vmmCheck, type VmmCheckDeps } from "./vmm-checks.js";

export interface HostCheckDeps {
  readonly requirements: HostRequirements;
  readonly vmm: VmmCheckDeps;
  readonly rootDisk: RootDiskCheckDeps;
  readonly network: Pick<HostNetwork, "check">;
  readonly privileges: PrivilegeCheckDeps;
  readonly imageStore: ImageStore;
  readonly vmStore: VmStore;
  readonly vmFiles: VmFiles;
  readonly hostFacts: HostFacts;
  readonly defaultImage: string;
  /** what this daemon found when it began; `undefined` while it still looks */
  readonly reconcileReport: () => ReconcileReport | undefined;
  /** default: what the system's files say of this user */
  readonly idProblem?: typeof subordinateIdProblem;
}

/** Below this the first image and a VM's disks do not fit, bytes. */
const leastFreeBytes = 2 * 2 ** 30;

/** The host's own section of doctor. Reads only; a check that throws is a failed check and hides no other. */
export async function hostChecks(
  deps: HostCheckDeps,
): Promise<readonly Check[]> {
  return Promise.all([
    settle("host.architecture", "host", architecture(deps.hostFacts)),
    settle("host.programs", "programs", programs(deps.requirements)),
    settle("host.subordinate-ids", "ids for images", subordinateIds(deps)),
    settle("host.vmm", "VMM", vmmCheck(deps.vmm)),
    settle("host.kvm", "CPU of the guests", accelCheck(deps.vmm)),
    settle("host.network", "network of the guests", deps.network.check()),
    settle("host.privileges", "privileges", privilegeCheck(deps.privileges)),
    settle("host.image", "default image", defaultImage(deps)),
    settle("host.root-disk", "root disks", rootDisk(deps)),
    settle("host.space", "free space", freeSpace(deps.vmFiles)),
    settle("host.vms", "VMs", brokenVms(deps.vmStore)),
    settle("host.reconcile", "VMs found running", reconciled(deps)),
  ]);
}

function settle(
  id: string,
  title: string,
  check: Promise<Check>,
): Promise<Check> {
  return check.catch((error: unknown) => ({
    id,
    title,
    status: "fail",
    detail: describeError(error),
  }));
}

async function architecture({
  architecture: name,
  cpus,
  memoryMiB,
}: HostFacts): Promise<Check> {
  const detail = `${name}, ${String(cpus)} CPUs, ${formatSize(memoryMiB * 2 ** 20)} of memory`;
  const check = { id: "host.architecture", title: "host", detail };
  return Promise.resolve(
    name === "x86_64"
      ? { ...check, status: "pass" }
      : {
          ...check,
          status: "fail",
          fix: "banger runs x86_64 guests on x86_64 hosts",
        },
  );
}

async function programs(requirements: HostRequirements): Promise<Check> {
  const { missing, present } = await requirements.report();
  const check = { id: "host.programs", title: "programs" };
  if (missing.length === 0) {
    return {
      ...check,
      status: "pass",
      detail: `all ${String(present.length)} are there`,
    };
  }
  const detail = `missing: ${missing.map(({ program }) => program).join(", ")}`;
  return { ...check, status: "fail", detail, fix: "banger setup" };
}

async function subordinateIds(deps: HostCheckDeps): Promise<Check> {
  const check = { id: "host.subordinate-ids", title: "ids for images" };
  if (deps.hostFacts.isRoot)
    return { ...check, status: "pass", detail: "root needs none" };
  const lack = await (deps.idProblem ?? subordinateIdProblem)();
  return lack
    ? // Ids may also come from a directory service, of which the files know nothing.
      { ...check, status: "warn", detail: lack.problem, fix: lack.fix }
    : { ...check, status: "pass", detail: "this user has subordinate ids" };
}

async function defaultImage(deps: HostCheckDeps): Promise<Check> {
  const check = { id: "host.image", title: "default image" };
  const image = await deps.imageStore.find(deps.defaultImage);
  if (!image) {
    const detail = `${deps.defaultImage} is not built yet; the first VM builds it`;
    return {
      ...check,
      status: "warn",
      detail,
      fix: `banger image build ${deps.defaultImage}`,
    };
  }
  const built = image.createdAt.slice(0, 10);
  const detail = `${image.name}, kernel ${image.kernelVersion}, built ${built}, ${formatSize(image.sizeBytes)}`;
  return { ...check, status: "pass", detail };
}

async function rootDisk(deps: HostCheckDeps): Promise<Check> {
  return rootDiskCheck(
    deps.rootDisk,
    await deps.imageStore.find(deps.defaultImage),
  );
}

async function freeSpace(vmFiles: VmFiles): Promise<Check> {
  const free = await vmFiles.freeBytes();
  const check = {
    id: "host.space",
    title: "free space",
    detail: `${formatSize(free)} for VMs`,
  };
  return free >= leastFreeBytes
    ? { ...check, status: "pass" }
    : { ...check, status: "warn", fix: "Delete VMs: banger vm list -a" };
}

async function brokenVms(vmStore: VmStore): Promise<Check> {
  const broken = (await vmStore.list()).filter(
    ({ state }) => state === "error",
  );
  const check = { id: "host.vms", title: "VMs" };
  const names = broken.map(({ name }) => name);
  return broken.length === 0
    ? { ...check, status: "pass", detail: "none is in state error" }
    : {
        ...check,
        status: "warn",
        detail: `in state error: ${names.join(", ")}`,
        fix: `banger vm logs ${names[0] ?? ""}, then banger vm delete ${names.join(" ")}`,
      };
}

async function reconciled(deps: HostCheckDeps): Promise<Check> {
  const check = { id: "host.reconcile", title: "VMs found running" };
  const report = deps.reconcileReport();
  if (!report)
    return { ...check, status: "pass", detail: "being looked at, still" };
  const vms = await deps.vmStore.list();
  // A problem is over when its VM was started or stopped since, or deleted.
  const open = report.problems.filter(
    ({ vm: name }) =>
      name === "all" ||
      vms.some((vm) => vm.name === name && vm.runtime.problems !== undefined),
  );
  if (open.length === 0) {
    const { adopted, cleaned, removed } = report;
    const counts = [
      `${String(adopted.length)} adopted`,
      `${String(cleaned.length)} cleaned up`,
      `${String(removed.length)} removed`,
    ];
    return { ...check, status: "pass", detail: counts.join(", ") };
  }
  const [{ vm: first } = { vm: "all" }] = open;
  return {
    ...check,
    status: "warn",
    detail: open.map(({ vm, text }) => `${vm}: ${text}`).join("; "),
    fix: first === "all" ? "banger daemon logs" : `banger vm show ${first}`,
  };
}
