import type { PluginRegistry } from "@banger/core";
import {
  describeConfig,
  type ConfigRow,
  type LoadedConfig,
} from "@banger/host";
import { importPlugin, type PackageRoots } from "./installed-plugins.js";

/** Every setting: banger's own and those of all installed plugins, enabled or not. */
export async function describePluginSections(
  config: LoadedConfig,
  registry: PluginRegistry,
  packageRoots: PackageRoots,
): Promise<readonly ConfigRow[]> {
  const sections = await Promise.all(
    registry.installed.map(async (installed) => {
      const { configKey } = installed.manifest;
      const schema =
        configKey && (await importPlugin(installed, packageRoots)).config;
      return configKey && schema ? [{ configKey, schema }] : [];
    }),
  );
  return describeConfig(config, sections.flat());
}
