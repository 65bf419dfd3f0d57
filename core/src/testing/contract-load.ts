import assert from "node:assert/strict";
import { z } from "zod";
import type { Plugin, PluginServices } from "../plugins/define-plugin.js";
import { PluginBench, type BenchOptions } from "./plugin-bench.js";

const services: Readonly<Record<keyof PluginServices, true>> = {
  commands: true,
  network: true,
  hostFacts: true,
  guestKeys: true,
  guestEgress: true,
  privileged: true,
  logger: true,
};

/** Manifest and code agree. */
export function checkManifest({ plugin, manifest }: BenchOptions): void {
  assert.equal(plugin.id, manifest.id, "manifest and code differ in the id");
  assert.ok(
    manifest.configKey !== undefined || settingsOf(plugin).length === 0,
    `it has the settings ${settingsOf(plugin).join(", ")} and no configKey in its manifest, so nobody can set them`,
  );
  assert.ok(
    !manifest.requires.includes(plugin.id),
    "a plugin cannot require itself",
  );
  const unknown = plugin.inject.filter((name) => !(name in services));
  assert.deepEqual(unknown, [], "it injects services that do not exist");
}

/** Names of the keys that its config schema knows. */
function settingsOf({ config }: Plugin): readonly string[] {
  const { properties = {} } = z.toJSONSchema(config, {
    io: "input",
    unrepresentable: "any",
  });
  return Object.keys(properties);
}

/** The section of the tests is accepted, one with an unknown key is not. */
export function checkSection(plugin: Plugin, section: unknown): void {
  const accepted = plugin.config.safeParse(section ?? {});
  assert.ok(
    accepted.success,
    `its section is refused: ${String(accepted.error)}`,
  );
  const misspelt = { ...(section as object | undefined), "no-such-key": 1 };
  assert.ok(
    !plugin.config.safeParse(misspelt).success,
    "it accepts an unknown key, so a misspelt one would be ignored in silence",
  );
}

/** `apply` taps under the plugin's id and does nothing else; every set of plugins gets its own taps. */
export async function checkApply(options: BenchOptions): Promise<void> {
  await PluginBench.use(options, async (bench) => {
    const before = await bench.state();
    await bench.load();
    await bench.load();
    assert.deepEqual(bench.calls.log, [], "apply() calls the host");
    assert.deepEqual(await bench.state(), before, "apply() changes the host");
  });
}
