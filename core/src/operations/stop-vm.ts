import type { VmStore } from "../contracts/vm-store.js";
import { JoinedError } from "../errors.js";
import {
  forTeardown,
  runStage,
  type OperationContext,
} from "../lifecycle/operation.js";
import type { VmRecord } from "../model/vm.js";
import type { FindVmm } from "./find-vmm.js";
import type { PowerOffGuest } from "./power-off-guest.js";
import { withoutFaults } from "./runtime-marks.js";
import type { TearDownVm } from "./tear-down-vm.js";

const halfDeleted = "its deletion was begun and is not finished";

export interface StopOptions {
  /** end the VMM at once, without asking the guest */
  readonly force?: boolean;
}

/**
 * Stops a VM and keeps its data: the guest writes everything to disk and powers off within a limit, then whatever is left is removed.
 * Stopping a stopped VM is fine; one whose deletion was begun is in state `error` afterwards. The caller holds the VM's lock.
 * @throws JoinedError when something could not be removed; the VM is in state `error` then
 */
export type StopVm = (
  vm: VmRecord,
  options: StopOptions,
  operation: OperationContext,
) => Promise<VmRecord>;

export function createStopVm(deps: {
  vmStore: VmStore;
  findVmm: FindVmm;
  powerOffGuest: PowerOffGuest;
  tearDownVm: TearDownVm;
}): StopVm {
  const { vmStore, findVmm, powerOffGuest, tearDownVm } = deps;

  return async (vm, { force = false }, operation) => {
    const handles = force ? undefined : await findVmm(vm);
    if (handles) {
      // A cancelled stop still stops: half a stop helps nobody.
      await runStage(
        forTeardown(operation),
        "power-off",
        "the guest writes its disks",
        () => powerOffGuest(vm, handles, operation),
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
      throw new JoinedError(`${vm.name} is not stopped cleanly`, leftovers, {
        hint: `Look for the cause with \`banger doctor\`; when it is gone: banger vm stop ${vm.name}`,
      });
    }
    return vmStore.update(vm.id, ({ state, runtime }) => {
      const clean = withoutFaults(runtime);
      // It has nothing to start any more.
      if (runtime.deleting)
        return {
          state: "error",
          runtime: { ...clean, lastError: halfDeleted },
        };
      return { state: state === "created" ? state : "stopped", runtime: clean };
    });
  };
}
