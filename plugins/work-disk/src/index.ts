import { definePlugin, Stage, type Plugin } from "@banger/core";
import { workDiskConfig } from "./config.js";
import { ensureDisk, removeUnfinished } from "./disk-file.js";
import { withWorkDrive, withWorkMount } from "./disk-plan.js";
import { workDiskChecks } from "./doctor.js";
import { diskFindings } from "./preflight.js";

/** A disk of the VM's own at /root, which stays when the VM stops. */
export const plugin: Plugin = definePlugin({
  id: "work-disk",
  config: workDiskConfig,
  inject: ["commands", "guestKeys", "hostFacts"],
  apply(hooks, { commands, guestKeys, hostFacts, config }) {
    const tap = { name: "work-disk", stage: Stage.disks };
    hooks.preflight.tapPromise("work-disk", async (context) => {
      const { vm, signal, report } = context;
      const deps = { commands, hostFacts };
      (await diskFindings(deps, vm, signal)).forEach(report);
    });
    hooks.guestConfig.tap(tap, (guest) => withWorkMount(guest));
    hooks.machineConfig.tap(tap, (machine, { vm }) =>
      withWorkDrive(machine, vm),
    );
    hooks.prepareHost.tapPromise(tap, (context) =>
      ensureDisk({ commands, guestKeys, hostFacts, config }, context),
    );
    hooks.cleanup.tapPromise(tap, ({ vm }) => removeUnfinished(vm));
    hooks.doctor.tapPromise("work-disk", async ({ signal, report }) => {
      const deps = { commands, hostFacts, config };
      (await workDiskChecks(deps, signal)).forEach(report);
    });
  },
});
