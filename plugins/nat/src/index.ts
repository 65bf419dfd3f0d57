import { definePlugin, Stage, type Plugin } from "@banger/core";
import { natConfig } from "./config.js";
import { natChecks } from "./doctor.js";
import { EgressModes } from "./egress-mode.js";
import { changeEgress, natFindings, withEgress } from "./egress-plan.js";

/** Opens the way out for guests whose owner asked for NAT, and keeps it closed for the others. */
export const plugin: Plugin = definePlugin({
  id: "nat",
  config: natConfig,
  inject: ["network", "commands", "hostFacts"],
  provide: {
    egressModes: {
      make: ({ commands, hostFacts }) =>
        new EgressModes({ commands, hostFacts }),
    },
  },
  apply(hooks, { network, egressModes }) {
    const tap = { name: "nat", stage: Stage.network };

    hooks.preflight.tapPromise(tap, async ({ vm, report, signal }) => {
      const egress = egressModes.find(vm.runtime.networkMode);
      const uplink = vm.spec.nat ? await egress?.findUplink(signal) : undefined;
      natFindings(vm, egress, uplink).forEach(report);
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

    hooks.cleanup.tapPromise(tap, async ({ vm, logger, signal }) => {
      for (const egress of egressModes.forRemoval(vm.runtime.networkMode))
        await egress.remove?.(vm, logger, signal);
    });

    hooks.configChange.tapPromise(tap, (before, after, context) => {
      const { live, takingBack, signal } = context;
      const change = { before, after, live, takingBack };
      const egress = egressModes.find(after.runtime.networkMode);
      return changeEgress(change, network, egress, signal);
    });

    hooks.doctor.tapPromise(tap, async ({ report, signal }) => {
      const egress = egressModes.find(network.mode);
      const uplink = await egress?.findUplink(signal);
      const firewall = await egress?.check?.(signal);
      natChecks(network, egress, uplink, firewall).forEach(report);
    });
  },
});
