import type { PluginRegistry } from "@banger/core";
import {
  describeConfig,
  type ConfigRow,
  type LoadedConfig,
} from "@banger/host";
import { importPlugin, type PackageRoots } from "./installed-plugins.js";

/** Every setting: banger's own and those of the enabled plugins; the code of others is not run. */
export async function describePluginSections(
  config: LoadedConfig,
  registry: PluginRegistry,
  enabled: readonly string[],
  packageRoots: PackageRoots,
): Promise<readonly ConfigRow[]> {
  const sections = await Promise.all(
    registry.installed.map(async (installed) => {
      const { id, configKey } = installed.manifest;
      if (configKey === undefined || !enabled.includes(id)) return [];
      const { config: schema } = await importPlugin(installed, packageRoots);
      return [{ configKey, schema }];
    }),
  );
  return describeConfig(config, sections.flat());
}
