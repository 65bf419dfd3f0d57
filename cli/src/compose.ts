import {
  asFunction,
  asValue,
  createRoot,
  PluginRegistry,
  type Logger,
  type PluginServices,
  type VmStore,
} from "@banger/core";
import {
  checkSectionNames,
  operationSettings,
  readPluginSection,
  registerHostServices,
  type HostRoot,
  type LoadedConfig,
  type Paths,
} from "@banger/host";
import { readBuild } from "./build-id.js";
import type { EnabledPlugins } from "./plugins/enabled-plugins.js";
import {
  findInstalledPlugins,
  importPlugin,
  type PackageRoots,
} from "./plugins/installed-plugins.js";

export interface Composition {
  readonly paths: Paths;
  readonly config: LoadedConfig;
  readonly logger: Logger;
  readonly enabledPlugins: EnabledPlugins;
  readonly packageRoots: PackageRoots;
}

/**
 * Puts core, host and the configured plugins together. Nothing is made before it is first asked for.
 * @throws PluginManifestError, ConfigInvalidError
 */
export function compose(composition: Composition): HostRoot {
  const { paths, config, logger, enabledPlugins, packageRoots } = composition;
  const installed = findInstalledPlugins(
    config.values.plugins.packages,
    packageRoots,
  );
  checkSectionNames(
    config,
    installed.flatMap(({ manifest }) => manifest.configKey ?? []),
  );
  const { version, id: build } = readBuild();
  const root = registerHostServices(createRoot(), {
    paths,
    config: config.values,
    build: { version, build },
  });
  root.register({
    logger: asValue(logger),
    settings: asValue(
      operationSettings(config.values, () => enabledPlugins.ids),
    ),
    pluginRegistry: asFunction(
      (cradle: PluginServices & { vmStore: VmStore }) => {
        const { commands, network, hostFacts, guestKeys, vmStore } = cradle;
        const { guestEgress, privileged } = cradle;
        return new PluginRegistry({
          installed,
          importPlugin: (plugin) => importPlugin(plugin, packageRoots),
          readConfig: ({ manifest }, plugin) =>
            readPluginSection(
              config,
              manifest.configKey ?? manifest.id,
              plugin.config,
            ),
          services: {
            ...{ commands, network, hostFacts, guestKeys, logger },
            ...{ guestEgress, privileged },
          },
          vmStore,
        });
      },
    )
      .singleton()
      .disposer((registry) => registry.dispose()),
  });
  return root;
}
