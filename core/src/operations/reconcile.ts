import type { GuestSsh } from "../contracts/guest.js";
import type { HandleStore } from "../contracts/handle-store.js";
import {
  ImageNotFoundError,
  type ImageStore,
} from "../contracts/image-store.js";
import type { VmFiles } from "../contracts/vm-files.js";
import type { VmStore } from "../contracts/vm-store.js";
import type { VmmDrivers } from "../contracts/vmm.js";
import { describeError } from "../errors.js";
import type { OperationContext } from "../lifecycle/operation.js";
import type { VmHandles, VmRecord } from "../model/vm.js";
import type { PluginRegistry } from "../plugins/plugin-registry.js";
import type { TearDownVm } from "./tear-down-vm.js";

/**
 * Makes one record and the host agree, when a daemon begins: a live VM is adopted and published again, the remains of a dead or
 * half-started one are removed. What goes wrong is in the record. The caller holds the VM's lock.
 * @returns the VMM process of an adopted VM
 */
export type ReconcileVm = (
  vm: VmRecord,
  operation: OperationContext,
) => Promise<VmHandles | undefined>;

export function createReconcileVm(deps: {
  vmStore: VmStore;
  handleStore: HandleStore;
  imageStore: ImageStore;
  vmmDrivers: VmmDrivers;
  vmFiles: VmFiles;
  guestSsh: GuestSsh;
  pluginRegistry: PluginRegistry;
  tearDownVm: TearDownVm;
}): ReconcileVm {
  const { vmStore, handleStore, imageStore, vmmDrivers, vmFiles } = deps;
  const { guestSsh, pluginRegistry, tearDownVm } = deps;

  const publish = async (
    vm: VmRecord,
    operation: OperationContext,
  ): Promise<void> => {
    const image = await imageStore.find(vm.imageId);
    if (!image) throw new ImageNotFoundError(vm.imageId, []);
    const plugins = await pluginRegistry.select(vm.runtime.startedPlugins);
    await plugins.postStart(
      vm,
      image,
      (command, signal) => guestSsh.exec(vm, command, signal),
      operation,
    );
  };

  /** A live VM stays its owner's, whatever cannot be published: the record says what is wrong, and the guest runs on. */
  const adopt = async (
    vm: VmRecord,
    handles: VmHandles,
    operation: OperationContext,
  ): Promise<void> => {
    try {
      await handleStore.write(vm, handles);
      await publish(vm, operation);
      operation.logger.info("VM adopted", { vmId: vm.id, pid: handles.pid });
    } catch (error) {
      operation.logger.error("VM runs but is not wholly adopted", {
        vmId: vm.id,
        error,
      });
      await note(vm, `not wholly adopted: ${describeError(error)}`, {});
    }
  };

  const note = async (
    vm: VmRecord,
    lastError: string,
    change: Partial<Pick<VmRecord, "state">>,
  ): Promise<void> => {
    await vmStore.update(vm.id, ({ runtime }) => ({
      ...change,
      runtime: { ...runtime, lastError },
    }));
  };

  const settle = async (
    vm: VmRecord,
    operation: OperationContext,
  ): Promise<VmHandles | undefined> => {
    const { driver } = vm.runtime;
    const handles =
      driver === undefined
        ? undefined
        : await vmmDrivers.get(driver).find(vm, await handleStore.read(vm));
    if (vm.state === "running" && handles) {
      await adopt(vm, handles, operation);
      return handles;
    }
    const unfinished = vm.runtime.provisional === true;
    const hasRemains =
      vm.state === "running" || handles || vm.runtime.prepared === true;
    if (!hasRemains && !unfinished) {
      // A start may have made it before it said so.
      await vmFiles.removeRun(vm);
      return undefined;
    }
    const leftovers = await tearDownVm(
      vm,
      unfinished ? "delete" : "stop",
      operation,
    );
    if (unfinished && leftovers.length === 0) {
      await vmFiles.removeAll(vm);
      await vmStore.remove(vm.id);
      operation.logger.info("Unfinished VM removed", { vmId: vm.id });
      return undefined;
    }
    const settled = vm.state === "running" ? "stopped" : vm.state;
    await vmStore.update(vm.id, ({ runtime }) => ({
      state: leftovers.length > 0 ? "error" : settled,
      runtime: {
        ...runtime,
        ...(leftovers.length > 0 ? { lastError: leftovers.join("; ") } : {}),
      },
    }));
    operation.logger.info("Remains of a VM removed", {
      vmId: vm.id,
      leftovers,
    });
    return undefined;
  };

  return async (vm, operation) => {
    try {
      return await settle(vm, operation);
    } catch (error) {
      operation.logger.error("VM could not be reconciled", {
        vmId: vm.id,
        error,
      });
      await note(vm, describeError(error), { state: "error" });
      return undefined;
    }
  };
}
