import type { Plugin } from "../plugins/define-plugin.js";
import {
  parsePluginManifest,
  type PluginManifest,
} from "../plugins/manifest.js";
import { checkConfigHook, checkEqualChange } from "./contract-config.js";
import {
  checkAbortBefore,
  checkAbortInside,
  checkBareCleanup,
  checkCleanup,
  checkCommands,
  checkFaults,
  checkIdempotence,
} from "./contract-host.js";
import { checkApply, checkManifest, checkSection } from "./contract-load.js";
import { checkDoctor, checkPreflight } from "./contract-reading.js";
import type { BenchOptions } from "./plugin-bench.js";

/** The two functions of a test runner that the kit uses; vitest, mocha, jest and node:test have them. */
export interface ContractRunner {
  readonly describe: (name: string, body: () => void) => unknown;
  readonly it: (name: string, body: () => Promise<void>) => unknown;
}

export interface PluginContractOptions extends Pick<
  BenchOptions,
  "section" | "arrange" | "vm"
> {
  readonly runner: ContractRunner;
  /** the plugin's parsed package.json; or its `manifest` */
  readonly packageJson?: unknown;
  readonly manifest?: PluginManifest;
}

/**
 * Declares the tests that every plugin passes, ours and a stranger's: what each hook promises, on a fake host, with a failure and a
 * cancel injected at every host call.
 *
 * ```ts
 * describePluginContract(plugin, {
 *   runner: { describe, it },
 *   packageJson,
 *   section: { greeting: "hello" },
 *   arrange: ({ commands, objects }) => {
 *     commands.install("nft", ({ args }) => { objects.add(args.join(" ")); return undefined; });
 *   },
 * });
 * ```
 */
export function describePluginContract(
  plugin: Plugin,
  options: PluginContractOptions,
): void {
  const { runner, packageJson, manifest, ...rest } = options;
  const bench = (): BenchOptions => ({
    plugin,
    manifest: manifest ?? parsePluginManifest(plugin.id, packageJson),
    ...rest,
  });
  const tests: Readonly<Record<string, () => Promise<void> | void>> = {
    "manifest and code agree": () => checkManifest(bench()),
    "the config section is checked": () =>
      checkSection(plugin, options.section),
    "apply taps under the plugin's id and does nothing else": () =>
      checkApply(bench()),
    "preflight reads only and survives missing tools": () =>
      checkPreflight(bench()),
    "guestConfig is pure": () => checkConfigHook("guestConfig", bench()),
    "machineConfig is pure": () => checkConfigHook("machineConfig", bench()),
    "preparing twice equals once": () => checkIdempotence(bench()),
    "every command has a signal and a time limit": () => checkCommands(bench()),
    "cleanup is fine with nothing there, and twice": () =>
      checkBareCleanup(bench()),
    "cleanup leaves nothing, and is fine twice": () => checkCleanup(bench()),
    "a fault at any host call leaves nothing half-made": () =>
      checkFaults(bench()),
    "a cancel before the start is honoured": () => checkAbortBefore(bench()),
    "a cancel at any host call is honoured": () => checkAbortInside(bench()),
    "an equal config changes nothing": () => checkEqualChange(bench()),
    "doctor reads only, under stable ids, and survives missing tools": () =>
      checkDoctor(bench()),
  };
  runner.describe(`plugin contract of ${plugin.id}`, () => {
    for (const [name, test] of Object.entries(tests))
      runner.it(name, async () => test());
  });
}
