import { definePlugin, Stage, type Plugin } from "@banger/core";
import { natConfig } from "./config.js";
import { natChecks } from "./doctor.js";
import { EgressModes } from "./egress-mode.js";
import {
  ensureGuest,
  permitAddresses,
  readRefusals,
  readStatus,
  removeAll,
  removeGuest,
} from "./privileged.js";
import { changeEgress, natFindings, withEgress } from "./egress-plan.js";

/** Opens the way out for guests whose owner asked for NAT, and keeps it closed for the others. */
export const plugin: Plugin = definePlugin({
  id: "nat",
  config: natConfig,
  privileged: [
    ensureGuest,
    removeGuest,
    removeAll,
    permitAddresses,
    readRefusals,
    readStatus,
  ],
  inject: ["network", "commands", "privileged", "guestEgress", "logger"],
  provide: {
    egressModes: {
      make: ({ commands, privileged, guestEgress, logger, config }) =>
        new EgressModes({ commands, privileged, guestEgress, logger, config }),
      dispose: (modes: EgressModes) => modes.close(),
    },
  },
  apply(hooks, { network, egressModes }) {
    const tap = { name: "nat", stage: Stage.network };

    hooks.preflight.tapPromise(tap, async ({ vm, report, signal }) => {
      const egress = egressModes.find(vm.runtime.networkMode);
      const uplink = vm.spec.nat ? await egress?.findUplink(signal) : undefined;
      natFindings(vm, egress, uplink, egressModes.allow).forEach(report);
      (await egress?.findings?.())?.forEach(report);
    });

    hooks.machineConfig.tap(tap, (machine, { vm }) => withEgress(machine, vm));

    // Before the guest runs: it never finds an open way that it should not have.
    hooks.prepareHost.tapPromise(tap, async ({ vm, signal }) => {
      await egressModes.find(vm.runtime.networkMode)?.apply?.(vm, signal);
    });

    // Also when a new daemon takes over a guest: the host's firewall may have been loaded anew since.
    hooks.postStart.tapPromise(tap, async ({ vm, signal }) => {
      await egressModes.find(vm.runtime.networkMode)?.apply?.(vm, signal);
    });

    hooks.cleanup.tapPromise(tap, async ({ vm, handles, logger, signal }) => {
      for (const egress of egressModes.forRemoval(vm.runtime.networkMode))
        await egress.remove?.(vm, handles, logger, signal);
    });

    hooks.configChange.tapPromise(tap, (before, after, context) => {
      const { live, takingBack, signal } = context;
      const change = { before, after, live, takingBack };
      const egress = egressModes.find(after.runtime.networkMode);
      return changeEgress(change, network, egress, signal);
    });

    hooks.doctor.tapPromise(tap, async (context) => {
      const { report, vmIds, signal } = context;
      const egress = egressModes.find(network.mode);
      const uplink = await egress?.findUplink(signal);
      natChecks(network, egress, uplink, egressModes.allow).forEach(report);
      (await egress?.check?.(vmIds, signal))?.forEach(report);
    });
  },
});
