import type { GuestSsh } from "../contracts/guest.js";
import type { HandleStore } from "../contracts/handle-store.js";
import type { Network } from "../contracts/network.js";
import type { VmFiles } from "../contracts/vm-files.js";
import type { VmStore } from "../contracts/vm-store.js";
import type { VmmDrivers } from "../contracts/vmm.js";
import { forTeardown, type OperationContext } from "../lifecycle/operation.js";
import { UndoStack } from "../lifecycle/undo-stack.js";
import type { VmRecord } from "../model/vm.js";
import type { PluginRegistry } from "../plugins/plugin-registry.js";

/**
 * Removes everything that a start made, from names alone: the VMM process, what the plugins prepared, the network, sockets, handles.
 * Idempotent, fine with nothing there, runs to the end. The caller holds the VM's lock and sets the state.
 * @returns what could not be removed, a line each
 */
export type TearDownVm = (
  vm: VmRecord,
  reason: "stop" | "delete",
  operation: OperationContext,
) => Promise<readonly string[]>;

export function createTearDownVm(deps: {
  vmStore: VmStore;
  handleStore: HandleStore;
  vmmDrivers: VmmDrivers;
  network: Network;
  vmFiles: VmFiles;
  guestSsh: GuestSsh;
  pluginRegistry: PluginRegistry;
}): TearDownVm {
  const {
    vmStore,
    handleStore,
    vmmDrivers,
    network,
    vmFiles,
    guestSsh,
    pluginRegistry,
  } = deps;

  const cleanPlugins = async (
    vm: VmRecord,
    reason: "stop" | "delete",
    operation: OperationContext,
  ): Promise<readonly string[]> => {
    const { set, failures } = await pluginRegistry.selectLoadable(
      vm.runtime.startedPlugins,
    );
    const faults = await set.cleanup(vm, reason, operation);
    const unclean = failures.map(
      ({ id, message }) =>
        `plugin ${id} cannot clean up, so what it made is not removed: ${message}`,
    );
    for (const line of unclean) {
      operation.progress("cleanup", `warning: ${line}`);
      operation.logger.warn("Plugin of a VM cannot clean up", { line });
    }
    // A VM that is deleted must go: nobody could ever delete it otherwise.
    const counted = reason === "delete" ? [] : unclean;
    return [...faults.map(({ message }) => message), ...counted];
  };

  return async (vm, reason, caller) => {
    const operation = forTeardown(caller);
    const leftovers: string[] = [];
    // The stack runs newest first, so the list reads from the last step to the first.
    const steps = new UndoStack(operation.logger);
    steps.push("handles", () => handleStore.clear(vm));
    steps.push("sockets", () => vmFiles.removeRun(vm));
    steps.push("network", () => network.remove(vm));
    steps.push("plugins", async () => {
      leftovers.push(...(await cleanPlugins(vm, reason, operation)));
    });
    steps.push("VMM", async () => {
      const { driver } = vm.runtime;
      if (driver === undefined) return;
      const vmm = vmmDrivers.get(driver);
      const saved = await handleStore.read(vm);
      await vmm.kill(vm, (await vmm.find(vm, saved)) ?? saved);
    });
    steps.push("SSH connection", () => guestSsh.disconnect(vm));
    leftovers.push(...(await steps.unwind()));
    if (leftovers.length === 0) {
      await vmStore.update(
        vm.id,
        ({ runtime: { prepared: _removed, ...rest } }) => ({ runtime: rest }),
      );
    }
    return leftovers;
  };
}
