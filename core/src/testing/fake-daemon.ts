import {
  asFunction,
  asValue,
  createRoot,
  type RootCradle,
} from "../container.js";
import type { OperationSettings } from "../operations/settings.js";
import type { Plugin, PluginServices } from "../plugins/define-plugin.js";
import { parsePluginManifest } from "../plugins/manifest.js";
import { PluginRegistry } from "../plugins/plugin-registry.js";
import type { FakeHost } from "./fake-host.js";
import { interceptContracts } from "./intercept-contracts.js";
import { memoryLogger, type MemoryLogger } from "./memory-logger.js";

export interface FakeDaemonOptions {
  /** installed and enabled, in this order */
  readonly plugins?: readonly Plugin[];
  readonly settings?: Partial<OperationSettings>;
  readonly logger?: MemoryLogger;
}

/** Core's operations on a fake host, composed as a daemon does it. Two on one host are a daemon and its successor. */
export function fakeDaemon(
  host: FakeHost,
  options: FakeDaemonOptions = {},
): RootCradle {
  const { plugins = [], logger = memoryLogger() } = options;
  const settings: OperationSettings = {
    defaultImage: "debian",
    defaults: { vcpus: 1, memoryMiB: 256, diskSizeBytes: 2 ** 30 },
    enabledPlugins: plugins.map(({ id }) => id),
    accel: "auto",
    driver: "auto",
    readyTimeoutMs: 1_000,
    stopTimeoutMs: 20,
    reconcileTimeoutMs: 1_000,
    ...options.settings,
  };
  const root = createRoot();
  root.register({
    commands: asValue(host.commands),
    guestAgent: asValue(host.guestAgent),
    guestBoot: asValue(host.guestBoot),
    guestEgress: asValue(host.guestEgress),
    guestKeys: asValue(host.guestKeys),
    privileged: asValue(host.privileged),
    guestPorts: asValue(host.guestPorts),
    guestSsh: asValue(host.guestSsh),
    handleStore: asValue(host.handleStore),
    hostFacts: asValue(host.hostFacts),
    hostResolver: asValue(host.hostResolver),
    imageStore: asValue(host.imageStore),
    network: asValue(host.network),
    portForwards: asValue(host.portForwards),
    rootDisks: asValue(host.rootDisks),
    vmFiles: asValue(host.vmFiles),
    vmStore: asValue(host.vmStore),
    vmmDrivers: asValue(host.vmmDrivers),
    logger: asValue(logger),
    settings: asValue(settings),
    pluginRegistry: asFunction((cradle: RegistryDeps) =>
      fakeRegistry(cradle, plugins),
    ).singleton(),
  });
  interceptContracts(root, host.calls.ofDaemon());
  return root.cradle;
}

type RegistryDeps = PluginServices & Pick<RootCradle, "vmStore">;

function fakeRegistry(
  cradle: RegistryDeps,
  plugins: readonly Plugin[],
): PluginRegistry {
  const { commands, network, hostFacts, guestKeys, logger, vmStore } = cradle;
  const { guestEgress, privileged } = cradle;
  return new PluginRegistry({
    installed: plugins.map(({ id }) => {
      const banger = { kind: "plugin", id, apiVersion: 1 };
      return {
        packageName: `fake-${id}`,
        version: "1.0.0",
        description: "",
        manifest: parsePluginManifest(id, { banger }),
      };
    }),
    importPlugin: async ({ manifest }) => {
      const found = plugins.find(({ id }) => id === manifest.id);
      if (!found) throw new Error(`no plugin ${manifest.id} was given`);
      return found;
    },
    readConfig: (_installed, plugin) => plugin.config.parse({}),
    services: {
      ...{ commands, network, hostFacts, guestKeys, logger },
      ...{ guestEgress, privileged },
    },
    vmStore,
  });
}
