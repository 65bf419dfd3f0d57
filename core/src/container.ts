import {
  asClass,
  asFunction,
  createContainer,
  type AwilixContainer,
} from "awilix";
import type { CommandRunner } from "./contracts/commands.js";
import type { GuestEgress } from "./contracts/guest-egress.js";
import type { GuestBoot } from "./contracts/guest-boot.js";
import type { GuestPorts } from "./contracts/guest-ports.js";
import type { PortForwards } from "./contracts/port-forwards.js";
import type { GuestKeys } from "./contracts/guest-keys.js";
import type { GuestAgent, GuestSsh } from "./contracts/guest.js";
import type { HandleStore } from "./contracts/handle-store.js";
import type { HostFacts } from "./contracts/host-facts.js";
import type { HostResolver } from "./contracts/host-resolver.js";
import type { ImageStore } from "./contracts/image-store.js";
import type { Logger } from "./contracts/logger.js";
import type { Network } from "./contracts/network.js";
import type { Privileged } from "./contracts/privileged.js";
import type { RootDisks } from "./contracts/root-disks.js";
import type { VmFiles } from "./contracts/vm-files.js";
import type { VmStore } from "./contracts/vm-store.js";
import type { VmmDrivers } from "./contracts/vmm.js";
import { OperationRegistry } from "./lifecycle/operation-registry.js";
import { createAdoptVm, type AdoptVm } from "./operations/adopt-vm.js";
import {
  createCheckHealth,
  type CheckHealth,
} from "./operations/check-health.js";
import {
  createCollectStats,
  type CollectStats,
} from "./operations/collect-stats.js";
import { createCreateVm, type CreateVm } from "./operations/create-vm.js";
import { createDeleteVm, type DeleteVm } from "./operations/delete-vm.js";
import { createFindVmm, type FindVmm } from "./operations/find-vmm.js";
import { GuestService } from "./operations/guest-service.js";
import { GuestWatch } from "./operations/guest-watch.js";
import { createKillVm, type KillVm } from "./operations/kill-vm.js";
import { createLaunchVm, type LaunchVm } from "./operations/launch-vm.js";
import {
  createPowerOffGuest,
  type PowerOffGuest,
} from "./operations/power-off-guest.js";
import { createPruneVms, type PruneVms } from "./operations/prune-vms.js";
import { PublishPorts } from "./operations/publish-ports.js";
import {
  createReconcileAll,
  type ReconcileAll,
} from "./operations/reconcile-all.js";
import { createReconcileVm, type ReconcileVm } from "./operations/reconcile.js";
import {
  createReconfigureVm,
  type ReconfigureVm,
} from "./operations/reconfigure-vm.js";
import { createRestartVm, type RestartVm } from "./operations/restart-vm.js";
import {
  createRevertChange,
  type RevertChange,
} from "./operations/revert-change.js";
import type { OperationSettings } from "./operations/settings.js";
import { createStartVm, type StartVm } from "./operations/start-vm.js";
import { StartsUnderWay } from "./operations/starts-under-way.js";
import { createStopVm, type StopVm } from "./operations/stop-vm.js";
import {
  createTearDownVm,
  type TearDownVm,
} from "./operations/tear-down-vm.js";
import { createTouchVm, type TouchVm } from "./operations/touch-vm.js";
import { VmLocks } from "./operations/vm-locks.js";
import { VmService } from "./operations/vm-service.js";
import type { PluginRegistry } from "./plugins/plugin-registry.js";

/** The contracts that a host implements. */
export interface HostCradle {
  readonly commands: CommandRunner;
  readonly guestAgent: GuestAgent;
  readonly guestBoot: GuestBoot;
  readonly guestEgress: GuestEgress;
  readonly guestKeys: GuestKeys;
  readonly guestPorts: GuestPorts;
  readonly guestSsh: GuestSsh;
  readonly handleStore: HandleStore;
  readonly hostFacts: HostFacts;
  readonly hostResolver: HostResolver;
  readonly imageStore: ImageStore;
  readonly network: Network;
  readonly portForwards: PortForwards;
  readonly privileged: Privileged;
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
  readonly adoptVm: AdoptVm;
  readonly checkHealth: CheckHealth;
  readonly collectStats: CollectStats;
  readonly createVm: CreateVm;
  readonly deleteVm: DeleteVm;
  readonly findVmm: FindVmm;
  readonly guestService: GuestService;
  readonly guestWatch: GuestWatch;
  readonly killVm: KillVm;
  readonly launchVm: LaunchVm;
  readonly operations: OperationRegistry;
  readonly powerOffGuest: PowerOffGuest;
  readonly pruneVms: PruneVms;
  readonly publishPorts: PublishPorts;
  readonly reconcileAll: ReconcileAll;
  readonly reconcileVm: ReconcileVm;
  readonly reconfigureVm: ReconfigureVm;
  readonly restartVm: RestartVm;
  readonly revertChange: RevertChange;
  readonly startVm: StartVm;
  readonly startsUnderWay: StartsUnderWay;
  readonly stopVm: StopVm;
  readonly tearDownVm: TearDownVm;
  readonly touchVm: TouchVm;
  readonly vmLocks: VmLocks;
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
    adoptVm: asFunction(createAdoptVm).singleton(),
    checkHealth: asFunction(createCheckHealth).singleton(),
    collectStats: asFunction(createCollectStats).singleton(),
    createVm: asFunction(createCreateVm).singleton(),
    deleteVm: asFunction(createDeleteVm).singleton(),
    findVmm: asFunction(createFindVmm).singleton(),
    guestService: asClass(GuestService).singleton(),
    guestWatch: asClass(GuestWatch).singleton(),
    killVm: asFunction(createKillVm).singleton(),
    launchVm: asFunction(createLaunchVm).singleton(),
    operations: asClass(OperationRegistry).singleton(),
    powerOffGuest: asFunction(createPowerOffGuest).singleton(),
    pruneVms: asFunction(createPruneVms).singleton(),
    publishPorts: asClass(PublishPorts).singleton(),
    reconcileAll: asFunction(createReconcileAll).singleton(),
    reconcileVm: asFunction(createReconcileVm).singleton(),
    reconfigureVm: asFunction(createReconfigureVm).singleton(),
    restartVm: asFunction(createRestartVm).singleton(),
    revertChange: asFunction(createRevertChange).singleton(),
    startVm: asFunction(createStartVm).singleton(),
    startsUnderWay: asClass(StartsUnderWay).singleton(),
    stopVm: asFunction(createStopVm).singleton(),
    tearDownVm: asFunction(createTearDownVm).singleton(),
    touchVm: asFunction(createTouchVm).singleton(),
    vmLocks: asClass(VmLocks).singleton(),
    vmService: asClass(VmService).singleton(),
  });
}

// The composition registers with the same functions; awilix itself stays core's affair.
export { asClass, asFunction, asValue } from "awilix";
export type { AwilixContainer } from "awilix";
