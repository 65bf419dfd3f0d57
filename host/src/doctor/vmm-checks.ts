import type { Check, VmmRequest } from "@banger/core";
import type { ConfigValues } from "../config/load-config.js";
import { kvmObstacle, type KvmObstacle } from "../vmm/kvm-device.js";
import type { InstalledVmmDrivers, VmmOutlook } from "../vmm/vmm-drivers.js";

/** What a VM that is made with the install's own settings asks of its VMM. Pure. */
export function usualRequest({
  vmm,
  network,
}: Pick<ConfigValues, "network" | "vmm">): VmmRequest {
  const nic = network.mode === "bridge" ? "tap" : "user";
  return { driver: vmm.driver, accel: vmm.accel, nic };
}

export interface VmmCheckDeps {
  readonly vmmDrivers: Pick<InstalledVmmDrivers, "outlook">;
  /** of a VM with the install's own settings */
  readonly request: VmmRequest;
  /** default: of /dev/kvm */
  readonly obstacle?: () => Promise<KvmObstacle | undefined>;
}

/** Which VMM would run a new VM, which not and why, as `auto` decides it. Reads only. */
export async function vmmCheck(deps: VmmCheckDeps): Promise<Check> {
  const { vmms, usable, chosen } = await survey(deps);
  const check = { id: "host.vmm", title: "VMM" };
  const others = vmms
    .filter((vmm) => vmm !== chosen)
    .map((vmm) => `${nameOf(vmm)}: ${whyNot(vmm, usable, deps.request)}`);
  if (chosen) {
    const path = chosen.program.path ?? "";
    const detail = [`${nameOf(chosen)} (${path}) runs new VMs`, ...others];
    return { ...check, status: "pass", detail: detail.join("; ") };
  }
  const fix = vmms.find(({ program }) => program.fix)?.program.fix;
  return {
    ...check,
    status: "fail",
    detail: others.join("; "),
    ...(fix === undefined ? {} : { fix }),
  };
}

/** How the CPU of a new VM would run, on the VMM that would run it. Reads only. */
export async function accelCheck(deps: VmmCheckDeps): Promise<Check> {
  const check = { id: "host.kvm", title: "CPU of the guests" };
  const slow = "software emulation: slower, and no isolation boundary";
  const { request } = deps;
  if (request.accel === "emulate")
    return { ...check, status: "pass", detail: `${slow}; as configured` };
  const { chosen } = await survey(deps);
  const verdict = chosen?.kvm;
  const when = `probed ${verdict?.checkedAt.slice(0, 10) ?? ""}`;
  if (verdict?.works)
    return { ...check, status: "pass", detail: `KVM (${when})` };
  const obstacle = await (deps.obstacle ?? kvmObstacle)();
  const otherwise = chosen?.emulates === false ? "no VM runs" : slow;
  if (obstacle) {
    const detail = `${obstacle.reason}, so ${otherwise}`;
    return { ...check, status: "warn", detail, fix: obstacle.fix };
  }
  if (!verdict) {
    const detail = "/dev/kvm opens; the first start probes it";
    return { ...check, status: "pass", detail };
  }
  return {
    ...check,
    status: "warn",
    detail: `${verdict.reason} (${when}), so ${otherwise}`,
    fix: "Switch on nested virtualisation in the outer host, or run banger on bare metal",
  };
}

interface Survey {
  readonly vmms: readonly VmmOutlook[];
  readonly usable: readonly VmmOutlook[];
  /** what `auto`, or the configured driver, comes to as far as is known without a probe */
  readonly chosen: VmmOutlook | undefined;
}

async function survey({ vmmDrivers, request }: VmmCheckDeps): Promise<Survey> {
  const vmms = await vmmDrivers.outlook(request, new AbortController().signal);
  const usable = vmms.filter(
    ({ id, program, unfit }) =>
      program.problem === undefined &&
      unfit === undefined &&
      (request.driver === "auto" || request.driver === id),
  );
  const withKvm =
    request.accel === "emulate"
      ? undefined
      : // Not probed yet counts as working: the first start finds out.
        usable.find(({ kvm }) => kvm?.works !== false);
  const chosen = withKvm ?? usable.find(({ emulates }) => emulates);
  return { vmms, usable, chosen: chosen ?? usable[0] };
}

function nameOf({ id, version }: VmmOutlook): string {
  return version === undefined ? id : `${id} ${version}`;
}

function whyNot(
  vmm: VmmOutlook,
  usable: readonly VmmOutlook[],
  request: VmmRequest,
): string {
  const { program, unfit, kvm } = vmm;
  if (program.problem !== undefined) return program.problem;
  if (unfit !== undefined) return unfit;
  if (!usable.includes(vmm)) return `vmm.driver is ${request.driver}`;
  return kvm?.works === false ? kvm.reason : "the other is preferred";
}
