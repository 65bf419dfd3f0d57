import type { HostFacts } from "../contracts/host-facts.js";
import type { ImageStore } from "../contracts/image-store.js";
import type { Network } from "../contracts/network.js";
import type { RootDisks } from "../contracts/root-disks.js";
import type { VmStore } from "../contracts/vm-store.js";
import { InvalidValueError } from "../errors.js";
import { runStage, type OperationContext } from "../lifecycle/operation.js";
import { formatSize } from "../model/size.js";
import type { VmRecord, VmSpec } from "../model/vm.js";
import type { PluginRegistry } from "../plugins/plugin-registry.js";
import { VmStateError } from "./operation-errors.js";
import { planMachine } from "./plan-start.js";
import { checkResources } from "./resolve-spec.js";

export type SpecChange = Partial<
  Pick<VmSpec, "vcpus" | "memoryMiB" | "diskSizeBytes" | "nat">
>;

/**
 * Changes what the owner wants of a VM. vCPUs, memory and disk size need a stopped VM; the rest is each plugin's to allow. The record
 * changes only when all agreed. The caller holds the VM's lock.
 * @throws VmStateError, InvalidValueError, or a plugin's refusal
 */
export type ReconfigureVm = (
  vm: VmRecord,
  change: SpecChange,
  operation: OperationContext,
) => Promise<VmRecord>;

export function createReconfigureVm(deps: {
  vmStore: VmStore;
  imageStore: ImageStore;
  network: Network;
  rootDisks: RootDisks;
  hostFacts: HostFacts;
  pluginRegistry: PluginRegistry;
}): ReconfigureVm {
  const { vmStore, imageStore, network, rootDisks } = deps;
  const { hostFacts, pluginRegistry } = deps;
  return async (vm, change, operation) => {
    const after: VmRecord = { ...vm, spec: { ...vm.spec, ...change } };
    checkResources(after.spec, hostFacts);
    const live = vm.state === "running";
    const frozen = (["vcpus", "memoryMiB", "diskSizeBytes"] as const).filter(
      (key) => after.spec[key] !== vm.spec[key],
    );
    if (live && frozen.length > 0) {
      throw new VmStateError(
        `${vm.name} is running; its ${frozen.join(", ")} cannot change now`,
        {
          hint: `Stop it first: banger vm stop ${vm.name}`,
        },
      );
    }
    if (after.spec.diskSizeBytes < vm.spec.diskSizeBytes) {
      throw new InvalidValueError(
        `a disk cannot shrink to ${formatSize(after.spec.diskSizeBytes)}`,
        {
          hint: `${vm.name} has ${formatSize(vm.spec.diskSizeBytes)}; choose that or more`,
        },
      );
    }
    return runStage(operation, "configure", "asking every plugin", async () => {
      const plugins = await pluginRegistry.select(vm.spec.plugins);
      const image = await imageStore.find(vm.imageId);
      if (image)
        await planMachine(
          { network, rootDisks },
          after,
          image,
          plugins,
          operation,
        );
      const takeBack = await plugins.configChange(vm, after, live, operation);
      try {
        return await vmStore.update(vm.id, () => ({ spec: after.spec }));
      } catch (error) {
        await takeBack();
        throw error;
      }
    });
  };
}
