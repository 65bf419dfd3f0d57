import type { VmmDrivers, VmmSignal } from "../contracts/vmm.js";
import {
  forTeardown,
  runStage,
  type OperationContext,
} from "../lifecycle/operation.js";
import type { VmRecord } from "../model/vm.js";
import type { FindVmm } from "./find-vmm.js";
import type { StopVm } from "./stop-vm.js";

/** How long a VMM may take to end after a signal that it can handle, ms. */
const signalWaitMs = 2_000;

/**
 * Ends a VM with a signal to its VMM, without asking the guest: what the guest has not written yet is lost. A VMM that outlives the
 * signal for two seconds is ended all the same, and everything of the run is removed. Killing a VM that does not run is fine. The
 * caller holds the VM's lock.
 * @throws JoinedError when something could not be removed; the VM is in state `error` then
 */
export type KillVm = (
  vm: VmRecord,
  signal: VmmSignal,
  operation: OperationContext,
) => Promise<VmRecord>;

export function createKillVm(deps: {
  vmmDrivers: VmmDrivers;
  findVmm: FindVmm;
  stopVm: StopVm;
}): KillVm {
  const { vmmDrivers, findVmm, stopVm } = deps;

  const send = async (
    vm: VmRecord,
    signal: VmmSignal,
    operation: OperationContext,
  ): Promise<void> => {
    const handles = await findVmm(vm);
    const { driver } = vm.runtime;
    if (!handles || driver === undefined) return;
    const vmm = vmmDrivers.get(driver);
    const limit = new AbortController();
    const timer = setTimeout(() => limit.abort(), signalWaitMs);
    try {
      await vmm.signal(vm, handles, signal);
      await vmm.waitForExit(handles, limit.signal);
    } catch (error) {
      operation.logger.warn("VMM could not be signalled", { error });
    } finally {
      clearTimeout(timer);
    }
  };

  return async (vm, signal, operation) => {
    // SIGKILL is what a forced stop ends the VMM with.
    if (signal !== "KILL")
      await runStage(forTeardown(operation), "signal", signal, () =>
        send(vm, signal, operation),
      );
    return stopVm(vm, { force: true }, operation);
  };
}
