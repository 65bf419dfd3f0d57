import { randomBytes, randomInt } from "node:crypto";
import type { HostFacts } from "../contracts/host-facts.js";
import {
  ImageNotFoundError,
  type ImageStore,
} from "../contracts/image-store.js";
import type { Network } from "../contracts/network.js";
import type { RootDisks } from "../contracts/root-disks.js";
import type { VmFiles } from "../contracts/vm-files.js";
import { VmNameTakenError, type VmStore } from "../contracts/vm-store.js";
import type { VmmDrivers } from "../contracts/vmm.js";
import { isBangerError } from "../errors.js";
import { runStage, type OperationContext } from "../lifecycle/operation.js";
import { generateVmName, parseVmName } from "../model/vm-name.js";
import { isVmId, type VmId, type VmRecord } from "../model/vm.js";
import type { PluginRegistry } from "../plugins/plugin-registry.js";
import { planMachine } from "./plan-start.js";
import { resolveSpec, type VmRequest } from "./resolve-spec.js";
import type { OperationSettings } from "./settings.js";

/**
 * Makes the record of a new VM: resolves the request and its image without a lock, then reserves name, address and row in one short
 * transaction. On a throw there is no row.
 * @throws ImageNotFoundError, also when the image is removed meanwhile; VmmDriverNotFoundError, VmmUnusableError
 */
export type CreateVm = (
  request: VmRequest,
  operation: OperationContext,
  identity: NewVm,
) => Promise<VmRecord>;

export interface NewVm {
  readonly id: VmId;
  /** for a VM that the same operation starts: see VmRuntime */
  readonly provisional: boolean;
}

export function createCreateVm(deps: {
  vmStore: VmStore;
  vmFiles: VmFiles;
  imageStore: ImageStore;
  network: Network;
  rootDisks: RootDisks;
  vmmDrivers: VmmDrivers;
  hostFacts: HostFacts;
  pluginRegistry: PluginRegistry;
  settings: OperationSettings;
}): CreateVm {
  const {
    vmStore,
    vmFiles,
    imageStore,
    network,
    rootDisks,
    vmmDrivers,
    hostFacts,
    pluginRegistry,
    settings,
  } = deps;

  const draft = (
    name: string,
    spec: VmRecord["spec"],
    imageId: string,
    { id, provisional }: NewVm,
  ): ((lease: number) => VmRecord) => {
    const now = new Date().toISOString();
    return (lease) => ({
      id,
      name,
      imageId,
      state: "created",
      createdAt: now,
      updatedAt: now,
      spec,
      runtime: {
        ...vmFiles.directories(id),
        ...network.addresses(lease, id),
        dnsName: `${name}.vm`,
        networkMode: network.mode,
        startedPlugins: [],
        teardown: {},
        ...(provisional ? { provisional } : {}),
      },
    });
  };

  return async (request, operation, identity) => {
    const given =
      request.name === undefined ? undefined : parseVmName(request.name);
    const plugins = pluginRegistry.resolve(
      settings.enabledPlugins,
      request.plugins ?? [],
      request.withoutPlugins ?? [],
    );
    const spec = resolveSpec(request, plugins, settings, hostFacts);
    // The lease does not matter for what it needs.
    const drafted = draft(given ?? "draft", spec, "", identity)(1);
    const nic = network.nic(drafted).backend.kind;
    vmmDrivers.requireFit({ driver: spec.driver, accel: spec.accel, nic });
    if (
      given !== undefined &&
      (await vmStore.list()).some((vm) => vm.name === given)
    ) {
      throw new VmNameTakenError(given);
    }
    const image = await runStage(
      operation,
      "image",
      `image ${spec.image}`,
      () => imageStore.ensure(spec.image, operation),
    );
    // Whatever the plugins say against the machine is said before there is a VM.
    const set = await pluginRegistry.select(plugins);
    const planned = { ...drafted, imageId: image.id };
    await planMachine({ network, rootDisks }, planned, image, set, operation);
    const vm = await runStage(
      operation,
      "reserve",
      "name and address",
      async () => {
        for (let attempt = 1; ; attempt++) {
          try {
            const name = given ?? generateVmName(randomInt);
            return await vmStore.insert(
              name,
              draft(name, spec, image.id, identity),
            );
          } catch (error) {
            // A generated name may be taken; with 3,900 of them twenty tries do, even among a thousand VMs.
            const again =
              isBangerError(error) &&
              error.code === "ERR_VM_NAME_TAKEN" &&
              given === undefined &&
              attempt < 20;
            if (!again) throw error;
          }
        }
      },
    );
    // Only the row keeps an image from being removed, and it may have gone just before.
    try {
      if (await imageStore.find(image.id)) return vm;
      throw new ImageNotFoundError(spec.image, []);
    } catch (error) {
      await vmStore.remove(vm.id).catch((left: unknown) => {
        // The first cause stays the cause; the row can be deleted.
        operation.logger.error("Row of a refused VM is left", {
          vmId: vm.id,
          error: left,
        });
      });
      throw error;
    }
  };
}

export function newVmId(): VmId {
  const id = randomBytes(6).toString("hex");
  if (!isVmId(id)) throw new Error("randomBytes gave no id");
  return id;
}
