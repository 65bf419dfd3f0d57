import type { PluginReport } from "@banger/host/client";
import { printableLine } from "./printable.js";
import type { Style } from "./style.js";
import { renderTable } from "./table.js";

export function renderPluginTable(
  plugins: readonly PluginReport[],
  style: Style,
): string {
  if (plugins.length === 0) return "";
  return renderTable([
    ["ID", "ENABLED", "VERSION", "WHAT IT ADDS"].map((title) =>
      style.bold(title),
    ),
    ...plugins.map(({ manifest, enabled, version, description }) => [
      manifest.id,
      enabled ? style.green("yes") : style.dim("no"),
      printableLine(version),
      printableLine(description),
    ]),
  ]);
}

export function renderPlugin(plugin: PluginReport, style: Style): string {
  const { manifest } = plugin;
  const fields: readonly (readonly [string, string])[] = [
    ["id", manifest.id],
    ["enabled", plugin.enabled ? "yes" : "no"],
    ["adds", plugin.description],
    ["package", `${plugin.packageName} ${plugin.version}`],
    ["plugin API", String(manifest.apiVersion)],
    ["requires", manifest.requires.join(", ") || "nothing"],
    ["after", manifest.after.join(", ") || "nothing"],
    [
      "config",
      manifest.configKey === undefined
        ? "none"
        : `[plugins.${manifest.configKey}]`,
    ],
  ];
  return renderTable(
    fields.map(([name, value]) => [style.dim(name), printableLine(value)]),
  );
}
