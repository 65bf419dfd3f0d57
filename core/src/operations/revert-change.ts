import type { VmStore } from "../contracts/vm-store.js";
import {
  throwIfCancelled,
  type OperationContext,
} from "../lifecycle/operation.js";
import type { VmRecord } from "../model/vm.js";
import type { PluginRegistry } from "../plugins/plugin-registry.js";
import { withoutChanging } from "./runtime-marks.js";

/**
 * Takes back a change of the spec that a daemon died in the middle of: every plugin is led back to what the record says. Does nothing
 * for a VM without one. The mark stays when a plugin fails, so that the next daemon tries again. The caller holds the VM's lock.
 * @param live is the guest running?
 * @returns what could not be taken back, a line each
 * @throws CancelledError
 */
export type RevertChange = (
  vm: VmRecord,
  live: boolean,
  operation: OperationContext,
) => Promise<readonly string[]>;

export function createRevertChange(deps: {
  vmStore: VmStore;
  pluginRegistry: PluginRegistry;
}): RevertChange {
  const { vmStore, pluginRegistry } = deps;
  return async (vm, live, operation) => {
    const { changing } = vm.runtime;
    if (!changing) return [];
    const after: VmRecord = { ...vm, spec: changing };
    const { set, failures } = await pluginRegistry.selectLoadable(
      vm.spec.plugins,
    );
    const faults = await set.revertChange(after, vm, live, operation);
    // Who was given up on may come back when the VM has changed again, and that mark is not this one's.
    throwIfCancelled(operation.signal, "taking back a change");
    const problems = [
      ...faults.map(({ message }) => message),
      ...failures.map(({ id, message }) => `plugin ${id}: ${message}`),
    ].map((line) => `a change of its settings is not taken back: ${line}`);
    if (problems.length === 0)
      await vmStore.update(vm.id, ({ runtime }) => ({
        runtime: withoutChanging(runtime),
      }));
    return problems;
  };
}
