import {
  parsePluginManifest,
  type InstalledPlugin,
  type PluginManifest,
} from "@banger/core";
import { fakePluginServices } from "@banger/core/testing";

export function manifestOf(
  id: string,
  order: { requires?: readonly string[]; after?: readonly string[] } = {},
): PluginManifest {
  const banger = { kind: "plugin", id, apiVersion: 1, ...order };
  return parsePluginManifest(`pkg-${id}`, { banger });
}

export function installedAs(manifest: PluginManifest): InstalledPlugin {
  const { id } = manifest;
  return { packageName: id, version: "1.0.0", description: "", manifest };
}

export const someServices = fakePluginServices;
