import type { HostFacts } from "../contracts/host-facts.js";
import type { ImageStore } from "../contracts/image-store.js";
import type { Network } from "../contracts/network.js";
import type { RootDisks } from "../contracts/root-disks.js";
import { VmNameTakenError, type VmStore } from "../contracts/vm-store.js";
import { InvalidValueError } from "../errors.js";
import { runStage, type OperationContext } from "../lifecycle/operation.js";
import { formatSize } from "../model/size.js";
import { parseVmName } from "../model/vm-name.js";
import type { VmRecord, VmSpec } from "../model/vm.js";
import type { PluginRegistry } from "../plugins/plugin-registry.js";
import type { FindVmm } from "./find-vmm.js";
import { VmStateError } from "./operation-errors.js";
import { planMachine } from "./plan-start.js";
import { checkResources } from "./resolve-spec.js";
import { withoutChanging } from "./runtime-marks.js";

export type SpecChange = Partial<
  Pick<VmSpec, "vcpus" | "memoryMiB" | "diskSizeBytes" | "nat">
> & {
  /** a new name, for a VM that does not run */
  readonly name?: string;
};

/**
 * Changes what the owner wants of a VM. Name, vCPUs, memory and disk size need one that does not run; the rest is each plugin's to
 * allow. The record changes only when all agreed, and while they are asked it durably says where that leads. The caller holds the
 * VM's lock.
 * @throws VmStateError, InvalidValueError, VmNameTakenError, or a plugin's refusal
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
  findVmm: FindVmm;
}): ReconfigureVm {
  const { vmStore, imageStore, network, rootDisks } = deps;
  const { hostFacts, pluginRegistry, findVmm } = deps;

  const checkName = async (vm: VmRecord, name: string): Promise<void> => {
    parseVmName(name);
    if ((await vmStore.list()).some((other) => other.name === name))
      throw new VmNameTakenError(name);
    // Plugins may have named what is left after the VM.
    if (vm.runtime.prepared && vm.state !== "running") {
      throw new VmStateError(
        `not everything of the last run of ${vm.name} is removed; its name cannot change now`,
        { hint: `Remove it first: banger vm stop ${vm.name}` },
      );
    }
  };

  /** The change is taken back everywhere; if the store fails as well, the next daemon finds the mark and does it once more. */
  const forget = async (
    vm: VmRecord,
    operation: OperationContext,
  ): Promise<void> => {
    try {
      // A write that failed may have had its effect.
      await vmStore.update(vm.id, ({ runtime }) => ({
        name: vm.name,
        spec: vm.spec,
        runtime: {
          ...withoutChanging(runtime),
          dnsName: vm.runtime.dnsName,
        },
      }));
    } catch (error) {
      operation.logger.error("Change taken back, but not in the record", {
        vmId: vm.id,
        error,
      });
    }
  };

  return async (vm, change, operation) => {
    const after = changed(vm, change);
    checkResources(after.spec, hostFacts);
    if (after.name !== vm.name) await checkName(vm, after.name);
    // A VMM that was given up on counts as well: its guest has the old name and size.
    const live = vm.state === "running" || (await findVmm(vm)) !== undefined;
    if (live) refuseFrozen(vm, after);
    refuseShrinking(vm, after);
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
      let takeBack = (): Promise<void> => Promise.resolve();
      try {
        await vmStore.update(vm.id, ({ runtime }) => ({
          runtime: { ...runtime, changing: after.spec },
        }));
        takeBack = await plugins.configChange(vm, after, live, operation);
        return await vmStore.update(vm.id, ({ runtime }) => ({
          name: after.name,
          spec: after.spec,
          runtime: {
            ...withoutChanging(runtime),
            dnsName: after.runtime.dnsName,
          },
        }));
      } catch (error) {
        await takeBack();
        await forget(vm, operation);
        throw error;
      }
    });
  };
}

function changed(
  vm: VmRecord,
  { name = vm.name, ...change }: SpecChange,
): VmRecord {
  return {
    ...vm,
    name,
    spec: { ...vm.spec, ...change },
    runtime: { ...vm.runtime, dnsName: `${name}.vm` },
  };
}

/** What they are called for the user. */
const sizeNames = {
  vcpus: "vCPUs",
  memoryMiB: "memory",
  diskSizeBytes: "disk size",
} as const;

function refuseFrozen(vm: VmRecord, after: VmRecord): void {
  const keys = ["vcpus", "memoryMiB", "diskSizeBytes"] as const;
  const sizes = keys
    .filter((key) => after.spec[key] !== vm.spec[key])
    .map((key) => sizeNames[key]);
  const frozen = [...(after.name === vm.name ? [] : ["name"]), ...sizes];
  if (frozen.length === 0) return;
  throw new VmStateError(
    `${vm.name} is running; its ${frozen.join(", ")} cannot change now`,
    {
      hint: `Stop it first: banger vm stop ${vm.name}`,
    },
  );
}

function refuseShrinking(vm: VmRecord, after: VmRecord): void {
  if (after.spec.diskSizeBytes >= vm.spec.diskSizeBytes) return;
  throw new InvalidValueError(
    `a disk cannot shrink to ${formatSize(after.spec.diskSizeBytes)}`,
    {
      hint: `${vm.name} has ${formatSize(vm.spec.diskSizeBytes)}; choose that or more`,
    },
  );
}
