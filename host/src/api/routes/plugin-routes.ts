import type { InstalledPlugin, PluginRegistry } from "@banger/core";
import { operationRoute, readRoute, type Route } from "../route.js";
import { pluginParams } from "../schemas.js";

/** An installed plugin as the API shows it. */
export interface PluginReport extends InstalledPlugin {
  readonly enabled: boolean;
}

export interface PluginRouteDeps {
  readonly pluginRegistry: PluginRegistry;
  readonly enabledPlugins: () => readonly string[];
  /** writes the configuration; new VMs get the new set */
  readonly setEnabled: (id: string, enabled: boolean) => Promise<void>;
}

export function pluginRoutes(deps: PluginRouteDeps): readonly Route[] {
  const { pluginRegistry, enabledPlugins, setEnabled } = deps;
  const report = (id: string): PluginReport => ({
    ...pluginRegistry.get(id),
    enabled: enabledPlugins().includes(id),
  });
  const change = (verb: "enable" | "disable"): Route =>
    operationRoute({
      method: "POST",
      path: `/v1/plugins/:plugin/${verb}`,
      summary: `${verb === "enable" ? "Enable" : "Disable"} a plugin for new VMs`,
      params: pluginParams,
      title: ({ params }) => `${verb} plugin ${params.plugin}`,
      handle: async ({ params }) => {
        pluginRegistry.get(params.plugin);
        await setEnabled(params.plugin, verb === "enable");
        return report(params.plugin);
      },
    });
  return [
    readRoute({
      method: "GET",
      path: "/v1/plugins",
      summary: "All installed plugins",
      handle: () =>
        Promise.resolve(
          pluginRegistry.installed.map(({ manifest }) => report(manifest.id)),
        ),
    }),
    readRoute({
      method: "GET",
      path: "/v1/plugins/:plugin",
      summary: "One plugin",
      params: pluginParams,
      handle: ({ params }) => Promise.resolve(report(params.plugin)),
    }),
    change("enable"),
    change("disable"),
  ];
}
