import type { PluginReport } from "@banger/host/client";
import { renderPlugin, renderPluginTable } from "../render/plugin.js";
import {
  jsonOption,
  type CommandDefinition,
  type PositionalDefinition,
} from "./command.js";
import { note, operate } from "./operate.js";

const pluginPositional: PositionalDefinition = {
  name: "plugin",
  describe: "id of the plugin",
  required: true,
  completes: "plugin",
};

const pathOf = (plugin: string): string =>
  `/v1/plugins/${encodeURIComponent(plugin)}`;

export const pluginList: CommandDefinition = {
  words: ["plugin", "list"],
  summary: "List installed plugins",
  options: jsonOption,
  examples: [["plugin list", "installed plugins, and which are enabled"]],
  run: async (_args, { client, style }) => {
    const plugins = await client.read<readonly PluginReport[]>("/v1/plugins");
    return { json: plugins, text: () => renderPluginTable(plugins, style) };
  },
};

export const pluginShow: CommandDefinition = {
  words: ["plugin", "show"],
  summary: "Show what a plugin says of itself",
  positionals: [pluginPositional],
  options: jsonOption,
  examples: [["plugin show nat", "package, version, what it requires"]],
  run: async (args, { client, style }) => {
    const path = pathOf(args.required("plugin"));
    const plugin = await client.read<PluginReport>(path);
    return { json: plugin, text: () => renderPlugin(plugin, style) };
  },
};

export const pluginEnable = switchCommand("enable");
export const pluginDisable = switchCommand("disable");

function switchCommand(verb: "enable" | "disable"): CommandDefinition {
  return {
    words: ["plugin", verb],
    summary: `${verb === "enable" ? "Give new VMs" : "Leave out of new VMs"} a plugin; VMs that exist keep theirs`,
    positionals: [pluginPositional],
    options: jsonOption,
    examples: [[`plugin ${verb} dns`, "writes it into the configuration"]],
    run: async (args, cli) => {
      const quiet = args.flag("json");
      const { value } = await operate<PluginReport>(cli, {
        method: "POST",
        path: `${pathOf(args.required("plugin"))}/${verb}`,
        quiet,
      });
      if (!quiet) note(cli, `${value.manifest.id} is ${verb}d for new VMs`);
      return { json: value };
    },
  };
}
