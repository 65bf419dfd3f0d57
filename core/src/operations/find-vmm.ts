import type { HandleStore } from "../contracts/handle-store.js";
import type { VmmDrivers } from "../contracts/vmm.js";
import type { VmHandles, VmRecord } from "../model/vm.js";

/**
 * The VMM process of a VM, whatever state the record is in; `undefined` when none runs. The one answer to that question: see
 * VmmDriver.find for what counts.
 * @throws VmmDriverNotFoundError when this install does not have the driver that launched it
 */
export type FindVmm = (vm: VmRecord) => Promise<VmHandles | undefined>;

export function createFindVmm(deps: {
  handleStore: HandleStore;
  vmmDrivers: VmmDrivers;
}): FindVmm {
  const { handleStore, vmmDrivers } = deps;
  return async (vm) => {
    const { driver } = vm.runtime;
    if (driver === undefined) return undefined;
    const saved = await handleStore.read(vm);
    return vmmDrivers.get(driver).find(vm, saved);
  };
}

/** A VM is alive when its record says running and its VMM runs. @returns that process */
export async function findAlive(
  findVmm: FindVmm,
  vm: VmRecord,
): Promise<VmHandles | undefined> {
  return vm.state === "running" ? findVmm(vm) : undefined;
}
