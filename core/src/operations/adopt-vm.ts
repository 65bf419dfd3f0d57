import type { GuestAgent, GuestSsh } from "../contracts/guest.js";
import type { Network } from "../contracts/network.js";
import type { HandleStore } from "../contracts/handle-store.js";
import {
  ImageNotFoundError,
  type ImageStore,
} from "../contracts/image-store.js";
import type { PortForwards } from "../contracts/port-forwards.js";
import { describeError } from "../errors.js";
import {
  throwIfCancelled,
  type OperationContext,
} from "../lifecycle/operation.js";
import { withinLimit } from "../lifecycle/waiting.js";
import type { VmHandles, VmRecord } from "../model/vm.js";
import type { PluginRegistry } from "../plugins/plugin-registry.js";
import { handlesOf } from "./handles-of.js";
import type { RevertChange } from "./revert-change.js";

/** How long the agent of a live guest may take to answer, ms. */
const pingLimitMs = 5_000;
/** How long a call may take to end after its limit, ms. */
const graceMs = 500;

/**
 * Takes a live VM into this daemon's care: handles, network, guest connection, what plugins publish, published ports. Every step is tried; what
 * fails is added to `problems`, and the guest runs on. The caller holds the VM's lock.
 * @returns does the guest answer over SSH?
 * @throws CancelledError
 */
export type AdoptVm = (
  vm: VmRecord,
  handles: VmHandles,
  problems: string[],
  operation: OperationContext,
) => Promise<boolean>;

export function createAdoptVm(deps: {
  handleStore: HandleStore;
  imageStore: ImageStore;
  guestAgent: GuestAgent;
  guestSsh: GuestSsh;
  network: Network;
  portForwards: PortForwards;
  pluginRegistry: PluginRegistry;
  revertChange: RevertChange;
}): AdoptVm {
  const { handleStore, imageStore, guestAgent, guestSsh, portForwards } = deps;
  const { network, pluginRegistry, revertChange } = deps;

  const ping = (vm: VmRecord, owner: AbortSignal): Promise<number> =>
    withinLimit(
      { what: "a ping", limitMs: pingLimitMs, graceMs, owner },
      (signal) => guestAgent.ping(vm, signal),
    );

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

  return async (vm, handles, problems, operation) => {
    const { signal, logger } = operation;
    const attempt = async (
      failure: string,
      work: () => Promise<unknown>,
    ): Promise<boolean> => {
      throwIfCancelled(signal, "adopting");
      try {
        await work();
        return true;
      } catch (error) {
        // Then it is not the step that failed, and whoever cancelled says why.
        throwIfCancelled(signal, "adopting");
        logger.error("VM runs but is not wholly adopted", { failure, error });
        problems.push(`${failure}: ${describeError(error)}`);
        return false;
      }
    };
    await attempt("its handles cannot be written", () =>
      handleStore.write(vm, handlesOf(vm, handles)),
    );
    await attempt("its network is not whole", () =>
      network.restore(vm, signal),
    );
    await attempt("its agent does not answer", () => ping(vm, signal));
    const reachable = await attempt("SSH does not answer", () =>
      guestSsh.connect(vm, signal),
    );
    await attempt("a change of its settings is not taken back", async () => {
      problems.push(...(await revertChange(vm, true, operation)));
    });
    await attempt("not wholly published", () => publish(vm, operation));
    for (const forward of vm.runtime.forwards ?? [])
      await attempt(`port ${String(forward.guestPort)} is not published`, () =>
        portForwards.open(vm, forward),
      );
    throwIfCancelled(signal, "adopting");
    return reachable;
  };
}
