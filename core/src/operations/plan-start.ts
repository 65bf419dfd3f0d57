import type { GuestKeys } from "../contracts/guest-keys.js";
import type { Network } from "../contracts/network.js";
import type { RootDisks } from "../contracts/root-disks.js";
import {
  firstNic,
  guestDefaults,
  machineDefaults,
  withNameservers,
} from "../lifecycle/guest-defaults.js";
import type { OperationContext } from "../lifecycle/operation.js";
import type { GuestConfig } from "../model/guest-config.js";
import type { Image } from "../model/image.js";
import type { MachineConfig } from "../model/machine-config.js";
import type { VmRecord } from "../model/vm.js";
import type { PluginSet } from "../plugins/plugin-set.js";
import { NatUnavailableError } from "./operation-errors.js";

/** What a start is going to make. */
export interface StartPlan {
  readonly guest: GuestConfig;
  readonly machine: MachineConfig;
}

/** Runs the config hooks on the defaults: what the guest and the machine will be. Makes nothing. */
export async function planStart(
  deps: {
    readonly guestKeys: GuestKeys;
    readonly network: Network;
    readonly rootDisks: RootDisks;
  },
  vm: VmRecord,
  image: Image,
  plugins: PluginSet,
  operation: OperationContext,
): Promise<StartPlan> {
  const { guestKeys, network } = deps;
  const guest = await plugins.guestConfig(
    guestDefaults({
      vm,
      network: network.guestNetwork(vm),
      authorizedKey: await guestKeys.authorizedKey(),
      hostKey: await guestKeys.hostKey(vm),
    }),
    vm,
    image,
    operation,
  );
  return {
    guest: withNameservers(guest),
    machine: await planMachine(deps, vm, image, plugins, operation),
  };
}

/**
 * The virtual hardware that a VM's plugins agree on. Makes nothing.
 * @throws NatUnavailableError when the VM wants NAT and no plugin opens the way out
 */
export async function planMachine(
  deps: { readonly network: Network; readonly rootDisks: RootDisks },
  vm: VmRecord,
  image: Image,
  plugins: PluginSet,
  operation: OperationContext,
): Promise<MachineConfig> {
  const { network, rootDisks } = deps;
  const machine = await plugins.machineConfig(
    machineDefaults({
      vm,
      rootDrive: rootDisks.drive(vm),
      nic: network.nic(vm),
      agent: { socketPath: `${vm.runtime.runDirectory}/agent.sock` },
    }),
    vm,
    image,
    operation,
  );
  if (vm.spec.nat && machine.egress[firstNic] !== "open") {
    throw new NatUnavailableError(vm.spec.plugins);
  }
  return machine;
}
