import { definePlugin, type Plugin } from "@banger/core";
import { natConfig } from "./config.js";
import { natChecks } from "./doctor.js";
import { findEgressMode } from "./egress-mode.js";
import { changeEgress, natFindings, withEgress } from "./egress-plan.js";
import { findUplink } from "./uplink.js";

/** Opens the way out for guests whose owner asked for NAT. */
export const plugin: Plugin = definePlugin({
  id: "nat",
  config: natConfig,
  inject: ["network"],
  apply(hooks, { network }) {
    const egress = findEgressMode(network);
    hooks.preflight.tapPromise("nat", async ({ vm, report }) => {
      if (!vm.spec.nat) return;
      natFindings(vm, network, egress, await findUplink()).forEach(report);
    });
    hooks.machineConfig.tap("nat", (machine, { vm }) =>
      withEgress(machine, vm),
    );
    hooks.configChange.tapPromise("nat", (before, after, context) => {
      const { live, takingBack, signal } = context;
      const change = { before, after, live, takingBack };
      return changeEgress(change, network, egress, signal);
    });
    hooks.doctor.tapPromise("nat", async ({ report }) => {
      natChecks(network, egress, await findUplink()).forEach(report);
    });
  },
});
