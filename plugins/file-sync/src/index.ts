import { definePlugin, Stage, type Plugin } from "@banger/core";
import {
  removeArchive,
  withSyncArchive,
  writeArchive,
} from "./archive-file.js";
import { fileSyncConfig } from "./config.js";
import { fileSyncChecks } from "./doctor.js";
import { entryFindings, entryProblems } from "./preflight.js";
import { syncMembers } from "./sync-plan.js";

/** Brings configured files of the host into /root of every guest, anew at each start. */
export const plugin: Plugin = definePlugin({
  id: "file-sync",
  config: fileSyncConfig,
  inject: ["hostFacts"],
  apply(hooks, { hostFacts, config: { entries } }) {
    const { homeDirectory } = hostFacts;
    const tap = { name: "file-sync", stage: Stage.disks };
    hooks.preflight.tapPromise("file-sync", async ({ report }) => {
      const problems = await entryProblems(entries, homeDirectory);
      entryFindings(problems).forEach(report);
    });
    hooks.guestConfig.tap(tap, (guest, { vm }) =>
      entries.length === 0 ? guest : withSyncArchive(guest, vm),
    );
    hooks.prepareHost.tapPromise(tap, async (context) => {
      const { vm, signal, progress, logger } = context;
      if (entries.length === 0) return;
      progress("file-sync", "reading the configured files");
      const warn = (message: string): void => {
        progress("file-sync", `warning: ${message}`);
        logger.warn("File not synced", { reason: message });
      };
      const members = syncMembers({ entries, homeDirectory, signal, warn });
      await writeArchive(vm, members, signal);
    });
    hooks.cleanup.tapPromise(tap, ({ vm }) => removeArchive(vm));
    hooks.doctor.tapPromise("file-sync", async ({ report }) => {
      const problems = await entryProblems(entries, homeDirectory);
      fileSyncChecks(entries.length, problems).forEach(report);
    });
  },
});
