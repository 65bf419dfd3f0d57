import type { VmStore } from "../contracts/vm-store.js";
import { isBangerError, JoinedError } from "../errors.js";
import {
  throwIfCancelled,
  type OperationContext,
} from "../lifecycle/operation.js";
import type { VmId, VmRecord } from "../model/vm.js";
import type { DeleteVm } from "./delete-vm.js";
import type { FindVmm } from "./find-vmm.js";
import type { StartsUnderWay } from "./starts-under-way.js";
import type { VmLocks } from "./vm-locks.js";

/** Deletions at the same time: each removes files and may run programs of plugins. */
const atOnce = 8;

/**
 * Deletes those of the given VMs that nobody uses: neither running nor being started, and no VMM runs of them, which an `error` may
 * still have. That is decided under each VM's lock, so one that came to life since its owner looked stays. All are tried.
 * @returns the deleted, in the order given
 * @throws JoinedError naming those that could not be deleted
 */
export type PruneVms = (
  ids: readonly VmId[],
  operation: OperationContext,
) => Promise<readonly VmRecord[]>;

export function createPruneVms(deps: {
  vmStore: VmStore;
  vmLocks: VmLocks;
  startsUnderWay: StartsUnderWay;
  findVmm: FindVmm;
  deleteVm: DeleteVm;
}): PruneVms {
  const { vmStore, vmLocks, startsUnderWay, findVmm, deleteVm } = deps;

  const prune = async (
    id: VmId,
    operation: OperationContext,
  ): Promise<VmRecord | undefined> => {
    const known = await vmStore.find(id);
    // A start that is under way is not waited for: its owner wants the VM.
    if (!known || startsUnderWay.has(id)) return undefined;
    try {
      return await vmLocks.run(known, operation.signal, async (vm) => {
        if (vm.state === "running" || startsUnderWay.has(id)) return undefined;
        if (await findVmm(vm)) return undefined;
        await deleteVm(vm, operation);
        return vm;
      });
    } catch (error) {
      if (isBangerError(error) && error.code === "ERR_VM_NOT_FOUND")
        return undefined;
      throw error;
    }
  };

  return async (ids, operation) => {
    const queue = [...new Set(ids)].entries();
    const deleted = new Map<number, VmRecord>();
    const failures: unknown[] = [];
    const work = async (): Promise<void> => {
      for (const [place, id] of queue) {
        try {
          const vm = await prune(id, operation);
          if (vm) deleted.set(place, vm);
        } catch (error) {
          failures.push(error);
        }
      }
    };
    await Promise.all(Array.from({ length: atOnce }, work));
    throwIfCancelled(operation.signal, "prune");
    if (failures.length > 0) {
      throw new JoinedError(
        `${String(failures.length)} of ${String(ids.length)} VMs could not be deleted; ${String(deleted.size)} are gone`,
        failures,
      );
    }
    return [...deleted].sort(([a], [b]) => a - b).map(([, vm]) => vm);
  };
}
