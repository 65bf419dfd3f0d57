import { asValue, createRoot, type RootCradle } from "../container.js";
import type { OperationSettings } from "../operations/settings.js";
import { definePlugin, type Plugin } from "../plugins/define-plugin.js";
import { parsePluginManifest } from "../plugins/manifest.js";
import { PluginRegistry } from "../plugins/plugin-registry.js";
import type { FakeHost } from "./fake-host.js";
import { fakeThings, type FakeHostState } from "./fake-host-state.js";
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
    readyTimeoutMs: 1_000,
    stopTimeoutMs: 20,
    ...options.settings,
  };
  const root = createRoot();
  root.register({
    commands: asValue(host.commands),
    guestAgent: asValue(host.guestAgent),
    guestBoot: asValue(host.guestBoot),
    guestKeys: asValue(host.guestKeys),
    guestSsh: asValue(host.guestSsh),
    handleStore: asValue(host.handleStore),
    hostFacts: asValue(host.hostFacts),
    imageStore: asValue(host.imageStore),
    network: asValue(host.network),
    rootDisks: asValue(host.rootDisks),
    vmFiles: asValue(host.vmFiles),
    vmStore: asValue(host.vmStore),
    vmmDrivers: asValue(host.vmmDrivers),
    logger: asValue(logger),
    settings: asValue(settings),
    pluginRegistry: asValue(fakeRegistry(host, plugins, logger)),
  });
  return root.cradle;
}

function fakeRegistry(
  host: FakeHost,
  plugins: readonly Plugin[],
  logger: MemoryLogger,
): PluginRegistry {
  const { commands, network, hostFacts, guestKeys, vmStore } = host;
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
    services: { commands, network, hostFacts, guestKeys, logger },
    vmStore,
  });
}

/** A plugin that makes one thing for every VM, by the rules: saved before made, removed from what was saved. */
export function fakePlugin(
  host: FakeHostState,
  id = "fake",
  options: { readonly opensEgress?: boolean } = {},
): Plugin {
  return definePlugin({
    id,
    apply(hooks) {
      const { calls, things } = host;
      hooks.preflight.tapPromise(id, ({ signal }) =>
        calls.call(`${id} preflight`, async () => undefined, undefined, signal),
      );
      if (options.opensEgress === true)
        hooks.machineConfig.tap(id, (machine) => ({
          ...machine,
          egress: { ...machine.egress, net0: "open" },
        }));
      hooks.prepareHost.tapPromise(id, async ({ vm, signal, teardown }) => {
        const thing = fakeThings.ofPlugin(id, vm.id);
        await teardown.save(thing);
        const make = async (): Promise<void> => void things.add(thing);
        await calls.call(`${id} prepareHost`, make, undefined, signal);
      });
      hooks.postStart.tapPromise(id, ({ signal }) =>
        calls.call(`${id} postStart`, async () => undefined, undefined, signal),
      );
      hooks.cleanup.tapPromise(id, async ({ teardown }) => {
        const thing = await teardown.load();
        await calls.call(`${id} cleanup`, async () => {
          if (typeof thing === "string") things.delete(thing);
        });
      });
    },
  });
}
