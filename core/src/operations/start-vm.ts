import type { GuestAgent, GuestSsh } from "../contracts/guest.js";
import type { GuestBoot } from "../contracts/guest-boot.js";
import type { GuestKeys } from "../contracts/guest-keys.js";
import type { HandleStore } from "../contracts/handle-store.js";
import type { HostFacts } from "../contracts/host-facts.js";
import {
  ImageNotFoundError,
  type ImageStore,
} from "../contracts/image-store.js";
import type { Network } from "../contracts/network.js";
import type { PortForwards } from "../contracts/port-forwards.js";
import type { RootDisks } from "../contracts/root-disks.js";
import type { VmFiles } from "../contracts/vm-files.js";
import type { VmStore } from "../contracts/vm-store.js";
import type { VmmChoice, VmmDrivers, VmmRequest } from "../contracts/vmm.js";
import { describeError, JoinedError } from "../errors.js";
import {
  runStage,
  throwIfCancelled,
  type OperationContext,
} from "../lifecycle/operation.js";
import { UndoStack } from "../lifecycle/undo-stack.js";
import type { Image } from "../model/image.js";
import type { VmHandles, VmRecord, VmRuntime } from "../model/vm.js";
import type { PluginRegistry } from "../plugins/plugin-registry.js";
import type { PluginSet } from "../plugins/plugin-set.js";
import { awaitGuest } from "./await-guest.js";
import { endFailedStart } from "./end-failed-start.js";
import { handlesOf } from "./handles-of.js";
import type { GuestWatch } from "./guest-watch.js";
import { VmStateError } from "./operation-errors.js";
import { planStart, type StartPlan } from "./plan-start.js";
import { requireStartable } from "./require-startable.js";
import {
  withoutFaults,
  withoutProvisional,
  withoutVmmNames,
} from "./runtime-marks.js";
import type { OperationSettings } from "./settings.js";
import type { TearDownVm } from "./tear-down-vm.js";

/**
 * Starts a VM that is not running; the caller holds its lock. Resolves when the guest answers and every plugin has published; from
 * then on its VMM is watched.
 * On a throw everything that the start made is gone again; the VM is in state `error` when its VMM had run and nobody cancelled, or
 * when something could not be removed, else in the state it had.
 * @throws StartFailedError; VmStateError for a VM whose deletion was begun
 */
export type StartVm = (
  vm: VmRecord,
  operation: OperationContext,
) => Promise<VmRecord>;

export interface StartVmDeps {
  readonly vmStore: VmStore;
  readonly handleStore: HandleStore;
  readonly imageStore: ImageStore;
  readonly vmmDrivers: VmmDrivers;
  readonly network: Network;
  readonly rootDisks: RootDisks;
  readonly guestBoot: GuestBoot;
  readonly guestAgent: GuestAgent;
  readonly guestSsh: GuestSsh;
  readonly guestKeys: GuestKeys;
  readonly hostFacts: HostFacts;
  readonly portForwards: PortForwards;
  readonly vmFiles: VmFiles;
  readonly pluginRegistry: PluginRegistry;
  readonly tearDownVm: TearDownVm;
  readonly guestWatch: GuestWatch;
  readonly settings: OperationSettings;
}

export function createStartVm(deps: StartVmDeps): StartVm {
  const { vmStore, handleStore, imageStore, vmmDrivers, network, rootDisks } =
    deps;
  const { guestBoot, guestAgent, guestSsh, hostFacts, vmFiles } = deps;
  const { pluginRegistry, tearDownVm, settings, guestKeys } = deps;
  const { portForwards, guestWatch } = deps;

  const launch = (
    vm: VmRecord,
    image: Image,
    choice: VmmChoice,
    plan: StartPlan,
    operation: OperationContext,
  ): Promise<VmHandles> =>
    runStage(
      operation,
      "launch",
      `${choice.driver}, ${choice.reason}`,
      async () => {
        const initrdPath = await guestBoot.write(
          vm,
          image,
          plan.guest,
          plan.machine,
          operation.signal,
        );
        const { machine } = plan;
        return vmmDrivers
          .get(choice.driver)
          .launch(
            { vm, image, machine, accel: choice.accel, initrdPath },
            operation.signal,
          );
      },
    );

  const requestOf = async (vm: VmRecord): Promise<VmmRequest> => {
    const diskFormat = await rootDisks.find(vm);
    return {
      driver: vm.spec.driver,
      accel: vm.spec.accel,
      nic: network.nic(vm).backend.kind,
      ...(diskFormat === undefined ? {} : { diskFormat }),
    };
  };

  /** What the record must say of this start before it makes anything. */
  const choose = async (
    vm: VmRecord,
    image: Image,
    choice: VmmChoice,
    plugins: PluginSet,
    signal: AbortSignal,
  ): Promise<Partial<VmRuntime>> => {
    const driver = vmmDrivers.get(choice.driver);
    const { diskFormats } = driver.features;
    const names = driver.names(vm);
    const runtime = { ...withoutVmmNames(vm.runtime), ...names };
    return {
      ...names,
      ...network.names({ ...vm, runtime }),
      driver: choice.driver,
      accel: choice.accel,
      rootDisk: await rootDisks.choose(vm, diskFormats, image, signal),
      startedPlugins: plugins.ids,
    };
  };

  /** A port that cannot be had is no reason against the VM. */
  const openForwards = async (
    vm: VmRecord,
    operation: OperationContext,
  ): Promise<void> => {
    // Read anew: the owner may have published one while the guest booted.
    const { runtime } = (await vmStore.find(vm.id)) ?? vm;
    for (const forward of runtime.forwards ?? []) {
      try {
        await portForwards.open(vm, forward);
      } catch (error) {
        const line = `port ${String(forward.guestPort)} is not published: ${describeError(error)}`;
        operation.progress("publish", `warning: ${line}`);
        operation.logger.warn("Port not published", { forward, error });
      }
    }
  };

  return async (before, operation) => {
    if (before.runtime.deleting) {
      throw new VmStateError(
        `${before.name} is being deleted; its disks may be gone already`,
        { hint: `Finish that: banger vm delete ${before.name}` },
      );
    }
    // Of a run whose end left something: the names of that may be others now.
    const leftovers = before.runtime.prepared
      ? await tearDownVm(before, "stop", operation)
      : [];
    const undo = new UndoStack(operation);
    let vmmRan = false;
    let vm = before;
    try {
      const image = await imageStore.find(vm.imageId);
      if (!image) throw new ImageNotFoundError(vm.imageId, []);
      const plugins = await pluginRegistry.select(vm.spec.plugins);
      await runStage(operation, "preflight", "asking every plugin", () =>
        requireStartable(hostFacts, vm, image, plugins, operation),
      );
      undo.push("run directory", () => vmFiles.removeRun(before));
      await vmFiles.ensure(vm);
      const choice = await runStage(
        operation,
        "vmm",
        "choosing how to run the guest",
        async () => vmmDrivers.choose(await requestOf(vm), image, operation),
      );
      const { signal } = operation;
      const chosen = await choose(vm, image, choice, plugins, signal);
      const { jailDirectory } = vm.runtime;
      // Its name is about to be forgotten, and nobody would ever remove it.
      if (leftovers.length > 0 && jailDirectory !== chosen.jailDirectory)
        throw new JoinedError("of an earlier run something stays", leftovers);
      const plan = await runStage(
        operation,
        "configure",
        "guest and machine",
        () =>
          planStart(
            { guestKeys, network, rootDisks },
            { ...vm, runtime: { ...withoutVmmNames(vm.runtime), ...chosen } },
            image,
            plugins,
            operation,
          ),
      );
      // From here on something may exist on the host, and this row says what it is called.
      vm = await vmStore.update(vm.id, ({ runtime }) => ({
        runtime: {
          ...withoutFaults(withoutVmmNames(runtime)),
          ...chosen,
          prepared: true,
        },
      }));
      undo.push("host", async () => {
        const leftovers = await tearDownVm(vm, "stop", operation);
        if (leftovers.length > 0) throw new Error(leftovers.join("; "));
      });
      await runStage(
        operation,
        "prepare",
        "disks, network, plugins",
        async () => {
          await rootDisks.ensure(
            vm,
            image,
            async (names) => {
              vm = await vmStore.update(vm.id, ({ runtime }) => ({
                runtime: { ...runtime, ...names },
              }));
            },
            operation.signal,
          );
          await network.prepare(vm, operation.signal);
          await plugins.prepareHost(vm, image, operation);
        },
      );
      const handles = await launch(vm, image, choice, plan, operation);
      vmmRan = true;
      await handleStore.write(vm, handlesOf(vm, handles));
      await runStage(
        operation,
        "boot",
        "waiting for the guest's first answer",
        () =>
          awaitGuest(
            { guestAgent, vmFiles, readyTimeoutMs: settings.readyTimeoutMs },
            vm,
            vmmDrivers.get(choice.driver),
            handles,
            operation,
          ),
      );
      await runStage(operation, "connect", "SSH to the guest", () =>
        guestSsh.connect(vm, operation.signal),
      );
      await runStage(operation, "publish", "plugins open and announce", () =>
        plugins.postStart(
          vm,
          image,
          (command, signal) => guestSsh.exec(vm, command, signal),
          operation,
        ),
      );
      await openForwards(vm, operation);
      throwIfCancelled(operation.signal, "start");
      const running = await vmStore.update(vm.id, ({ runtime }) => ({
        state: "running",
        runtime: {
          ...withoutProvisional(runtime),
          lastStart: operation.timeline.entries(),
          lastUsedAt: new Date().toISOString(),
        },
      }));
      guestWatch.watch(running, handles, operation);
      return running;
    } catch (error) {
      const failed = { before, vmmRan, undo };
      throw await endFailedStart(vmStore, failed, error, operation);
    }
  };
}
