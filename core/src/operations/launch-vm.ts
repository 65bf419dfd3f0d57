import { describeError, isBangerError } from "../errors.js";
import { forTeardown, type OperationContext } from "../lifecycle/operation.js";
import type { VmId, VmRecord } from "../model/vm.js";
import type { CreateVm } from "./create-vm.js";
import type { DeleteVm } from "./delete-vm.js";
import type { VmRequest } from "./resolve-spec.js";
import type { RestartVm } from "./restart-vm.js";
import type { VmLocks } from "./vm-locks.js";

/**
 * Creates a VM and starts it. One whose first start fails before its VMM ran, or is cancelled, leaves nothing.
 * @throws what CreateVm and StartVm throw
 */
export type LaunchVm = (
  id: VmId,
  request: VmRequest,
  operation: OperationContext,
) => Promise<VmRecord>;

export function createLaunchVm(deps: {
  vmLocks: VmLocks;
  createVm: CreateVm;
  restartVm: RestartVm;
  deleteVm: DeleteVm;
}): LaunchVm {
  const { vmLocks, createVm, restartVm, deleteVm } = deps;

  const discard = async (
    vm: VmRecord,
    operation: OperationContext,
  ): Promise<void> => {
    const teardown = forTeardown(operation);
    try {
      await vmLocks.run(vm, teardown.signal, async (current) => {
        if (current.runtime.provisional) await deleteVm(current, teardown);
      });
    } catch (error) {
      // Somebody else deleted it.
      if (isBangerError(error) && error.code === "ERR_VM_NOT_FOUND") return;
      const line = `${vm.name} is left: ${describeError(error)}`;
      operation.progress("delete", `warning: ${line}`);
      operation.logger.error("VM of a failed start could not be removed", {
        vmId: vm.id,
        error,
      });
    }
  };

  return async (id, request, operation) => {
    const vm = await createVm(request, operation, { id, provisional: true });
    try {
      return await vmLocks.run(vm, operation.signal, (current) =>
        restartVm(current, operation),
      );
    } catch (error) {
      await discard(vm, operation);
      throw error;
    }
  };
}
