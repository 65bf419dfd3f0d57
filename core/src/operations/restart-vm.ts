import type { OperationContext } from "../lifecycle/operation.js";
import type { VmRecord } from "../model/vm.js";
import type { FindVmm } from "./find-vmm.js";
import type { GuestWatch } from "./guest-watch.js";
import type { StartVm } from "./start-vm.js";
import type { StopVm } from "./stop-vm.js";
import type { TouchVm } from "./touch-vm.js";

/**
 * Boots a VM anew: what runs of it is stopped first, in whatever state the record is. The caller holds the VM's lock all the while.
 * @throws StartFailedError; JoinedError when the stop left something, and then nothing was started
 */
export type RestartVm = (
  vm: VmRecord,
  operation: OperationContext,
) => Promise<VmRecord>;

export function createRestartVm(deps: {
  findVmm: FindVmm;
  guestWatch: GuestWatch;
  startVm: StartVm;
  stopVm: StopVm;
  touchVm: TouchVm;
}): RestartVm {
  const { findVmm, guestWatch, startVm, stopVm, touchVm } = deps;
  const restart: RestartVm = async (vm, operation) => {
    let ready = vm;
    // What runs in another state was given up on: a second VMM would share its disk.
    if (vm.state === "running" || (await findVmm(vm))) {
      // Somebody uses it, and says so before the stop takes its time.
      await touchVm(vm);
      ready = await stopVm(vm, {}, operation);
    }
    return startVm(ready, operation);
  };
  return (vm, operation) =>
    guestWatch.suspend(vm.id, () => restart(vm, operation));
}
