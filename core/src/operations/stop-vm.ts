import type { GuestAgent } from "../contracts/guest.js";
import type { HandleStore } from "../contracts/handle-store.js";
import type { VmStore } from "../contracts/vm-store.js";
import type { VmmDriver, VmmDrivers } from "../contracts/vmm.js";
import { JoinedError } from "../errors.js";
import {
  forTeardown,
  runStage,
  type OperationContext,
} from "../lifecycle/operation.js";
import type { VmHandles, VmRecord } from "../model/vm.js";
import type { OperationSettings } from "./settings.js";
import type { TearDownVm } from "./tear-down-vm.js";

export interface StopOptions {
  /** end the VMM at once, without asking the guest */
  readonly force?: boolean;
}

/**
 * Stops a VM and keeps its data: the guest writes everything to disk and powers off within a limit, then whatever is left is removed.
 * Stopping a stopped VM is fine. The caller holds the VM's lock.
 * @throws JoinedError when something could not be removed; the VM is in state `error` then
 */
export type StopVm = (
  vm: VmRecord,
  options: StopOptions,
  operation: OperationContext,
) => Promise<VmRecord>;

export function createStopVm(deps: {
  vmStore: VmStore;
  handleStore: HandleStore;
  vmmDrivers: VmmDrivers;
  guestAgent: GuestAgent;
  tearDownVm: TearDownVm;
  settings: OperationSettings;
}): StopVm {
  const { vmStore, handleStore, vmmDrivers, guestAgent, tearDownVm, settings } =
    deps;

  const powerOff = async (
    vm: VmRecord,
    vmm: VmmDriver,
    handles: VmHandles,
    operation: OperationContext,
  ): Promise<void> => {
    // A cancelled stop still stops: half a stop helps nobody.
    const limit = AbortSignal.timeout(settings.stopTimeoutMs);
    try {
      await guestAgent.powerOff(vm, limit);
      await vmm.waitForExit(handles, limit);
    } catch (error) {
      operation.logger.warn("Guest could not be asked to power off", { error });
    }
    if (limit.aborted)
      operation.progress(
        "stop",
        "warning: the guest did not power off in time",
      );
  };

  return async (vm, { force = false }, operation) => {
    const { driver } = vm.runtime;
    const vmm = driver === undefined ? undefined : vmmDrivers.get(driver);
    const handles = await vmm?.find(vm, await handleStore.read(vm));
    if (vmm && handles && !force) {
      await runStage(
        forTeardown(operation),
        "power-off",
        "the guest writes its disks",
        () => powerOff(vm, vmm, handles, operation),
      );
    }
    const leftovers = await tearDownVm(vm, "stop", operation);
    if (leftovers.length > 0) {
      await vmStore.update(vm.id, ({ runtime }) => ({
        state: "error",
        runtime: {
          ...runtime,
          lastError: `not everything was removed: ${leftovers.join("; ")}`,
        },
      }));
      throw new JoinedError(`${vm.name} is not stopped cleanly`, leftovers);
    }
    return vmStore.update(vm.id, ({ state }) => ({
      state: state === "created" ? "created" : "stopped",
    }));
  };
}
