import {
  asClass,
  asFunction,
  createContainer,
  type AwilixContainer,
} from "awilix";
import type { CommandRunner } from "./contracts/commands.js";
import type { GuestBoot } from "./contracts/guest-boot.js";
import type { GuestKeys } from "./contracts/guest-keys.js";
import type { GuestAgent, GuestSsh } from "./contracts/guest.js";
import type { HandleStore } from "./contracts/handle-store.js";
import type { HostFacts } from "./contracts/host-facts.js";
import type { ImageStore } from "./contracts/image-store.js";
import type { Logger } from "./contracts/logger.js";
import type { Network } from "./contracts/network.js";
import type { RootDisks } from "./contracts/root-disks.js";
import type { VmFiles } from "./contracts/vm-files.js";
import type { VmStore } from "./contracts/vm-store.js";
import type { VmmDrivers } from "./contracts/vmm.js";
import { createCreateVm, type CreateVm } from "./operations/create-vm.js";
import { createDeleteVm, type DeleteVm } from "./operations/delete-vm.js";
import { createReconcileVm, type ReconcileVm } from "./operations/reconcile.js";
import {
  createReconfigureVm,
  type ReconfigureVm,
} from "./operations/reconfigure-vm.js";
import type { OperationSettings } from "./operations/settings.js";
import { createStartVm, type StartVm } from "./operations/start-vm.js";
import { createStopVm, type StopVm } from "./operations/stop-vm.js";
import {
  createTearDownVm,
  type TearDownVm,
} from "./operations/tear-down-vm.js";
import { VmService } from "./operations/vm-service.js";
import type { PluginRegistry } from "./plugins/plugin-registry.js";

/** The contracts that a host implements. */
export interface HostCradle {
  readonly commands: CommandRunner;
  readonly guestAgent: GuestAgent;
  readonly guestBoot: GuestBoot;
  readonly guestKeys: GuestKeys;
  readonly guestSsh: GuestSsh;
  readonly handleStore: HandleStore;
  readonly hostFacts: HostFacts;
  readonly imageStore: ImageStore;
  readonly network: Network;
  readonly rootDisks: RootDisks;
  readonly vmFiles: VmFiles;
  readonly vmStore: VmStore;
  readonly vmmDrivers: VmmDrivers;
}

/** What the composition adds. */
export interface CompositionCradle {
  readonly logger: Logger;
  readonly settings: OperationSettings;
  readonly pluginRegistry: PluginRegistry;
}

/** What core makes of both. */
export interface OperationsCradle {
  readonly createVm: CreateVm;
  readonly deleteVm: DeleteVm;
  readonly reconcileVm: ReconcileVm;
  readonly reconfigureVm: ReconfigureVm;
  readonly startVm: StartVm;
  readonly stopVm: StopVm;
  readonly tearDownVm: TearDownVm;
  readonly vmService: VmService;
}

export interface RootCradle
  extends HostCradle, CompositionCradle, OperationsCradle {}

/** The root container with core's operations in it; host and composition register the rest. */
export function createRoot(): AwilixContainer<RootCradle> {
  const root = createContainer<RootCradle>({
    injectionMode: "PROXY",
    strict: true,
  });
  return root.register({
    createVm: asFunction(createCreateVm).singleton(),
    deleteVm: asFunction(createDeleteVm).singleton(),
    reconcileVm: asFunction(createReconcileVm).singleton(),
    reconfigureVm: asFunction(createReconfigureVm).singleton(),
    startVm: asFunction(createStartVm).singleton(),
    stopVm: asFunction(createStopVm).singleton(),
    tearDownVm: asFunction(createTearDownVm).singleton(),
    vmService: asClass(VmService).singleton(),
  });
}

// The composition registers with the same functions; awilix itself stays core's affair.
export { asClass, asFunction, asValue } from "awilix";
export type { AwilixContainer } from "awilix";
