import type { GuestSsh } from "../contracts/guest.js";
import type { HandleStore } from "../contracts/handle-store.js";
import type { Network } from "../contracts/network.js";
import type { PortForwards } from "../contracts/port-forwards.js";
import type { RootDisks } from "../contracts/root-disks.js";
import type { VmFiles } from "../contracts/vm-files.js";
import type { VmStore } from "../contracts/vm-store.js";
import type { VmmDrivers } from "../contracts/vmm.js";
import { forTeardown, type OperationContext } from "../lifecycle/operation.js";
import { UndoStack } from "../lifecycle/undo-stack.js";
import type { VmRecord } from "../model/vm.js";
import type { PluginRegistry } from "../plugins/plugin-registry.js";
import type { FindVmm } from "./find-vmm.js";
import { withoutPrepared } from "./runtime-marks.js";

/**
 * Removes everything that a start made, from names alone: the published ports, the VMM process, what the plugins prepared, devices
 * under the root disk, the network, sockets, handles.
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
  rootDisks: RootDisks;
  portForwards: PortForwards;
  vmFiles: VmFiles;
  guestSsh: GuestSsh;
  pluginRegistry: PluginRegistry;
  findVmm: FindVmm;
}): TearDownVm {
  const { vmStore, handleStore, vmmDrivers, network, portForwards } = deps;
  const { rootDisks, vmFiles, guestSsh, pluginRegistry, findVmm } = deps;

  const cleanPlugins = async (
    vm: VmRecord,
    reason: "stop" | "delete",
    operation: OperationContext,
  ): Promise<readonly string[]> => {
    const { set, failures } = await pluginRegistry.selectLoadable(
      vm.runtime.startedPlugins,
    );
    const faults = await set.cleanup(
      vm,
      await handleStore.read(vm),
      reason,
      operation,
    );
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
    const steps = new UndoStack(operation);
    steps.push("handles", () => handleStore.clear(vm));
    steps.push("sockets", () => vmFiles.removeRun(vm));
    steps.push("network", () => network.remove(vm));
    steps.push("root disk", () => rootDisks.release(vm));
    steps.push("plugins", async () => {
      leftovers.push(...(await cleanPlugins(vm, reason, operation)));
    });
    steps.push("VMM", async () => {
      const { driver } = vm.runtime;
      if (driver === undefined) return;
      const handles = (await findVmm(vm)) ?? (await handleStore.read(vm));
      await vmmDrivers.get(driver).kill(vm, handles);
    });
    steps.push("SSH connection", () => guestSsh.disconnect(vm));
    steps.push("published ports", () => portForwards.closeAll(vm));
    leftovers.push(...(await steps.unwind()));
    if (leftovers.length === 0 && operation.abandoned?.aborted !== true) {
      await vmStore.update(vm.id, ({ runtime }) => ({
        runtime: withoutPrepared(runtime),
      }));
    }
    return leftovers;
  };
}
