import type { VmFiles } from "../contracts/vm-files.js";
import type { VmStore } from "../contracts/vm-store.js";
import { JoinedError } from "../errors.js";
import {
  forTeardown,
  runStage,
  type OperationContext,
} from "../lifecycle/operation.js";
import { UndoStack } from "../lifecycle/undo-stack.js";
import type { VmRecord } from "../model/vm.js";
import type { TearDownVm } from "./tear-down-vm.js";

/**
 * Removes a VM with its disks, from any state. From its first step on the record says so: half a disk must never start again. The
 * caller holds the VM's lock.
 * @throws JoinedError when something could not be removed; the record stays then, in state `error`, and delete can be called again
 */
export type DeleteVm = (
  vm: VmRecord,
  operation: OperationContext,
) => Promise<void>;

export function createDeleteVm(deps: {
  vmStore: VmStore;
  vmFiles: VmFiles;
  tearDownVm: TearDownVm;
}): DeleteVm {
  const { vmStore, vmFiles, tearDownVm } = deps;
  return (vm, operation) =>
    runStage(forTeardown(operation), "delete", vm.name, async () => {
      const doomed = await vmStore.update(vm.id, ({ runtime }) => ({
        runtime: { ...runtime, deleting: true },
      }));
      const files = new UndoStack(operation);
      files.push("files", () => vmFiles.removeAll(doomed));
      let leftovers = await tearDownVm(doomed, "delete", operation);
      // Disks go last: what is left may still hold them.
      if (leftovers.length === 0) leftovers = await files.unwind();
      if (leftovers.length > 0) {
        await vmStore.update(vm.id, ({ runtime }) => ({
          state: "error",
          runtime: {
            ...runtime,
            lastError: `not everything was removed: ${leftovers.join("; ")}`,
          },
        }));
        throw new JoinedError(
          `${vm.name} is not deleted: something is left`,
          leftovers,
          {
            hint: `Look for the cause with \`banger doctor\`; when it is gone: banger vm delete ${vm.name}`,
          },
        );
      }
      await vmStore.remove(vm.id);
    });
}
