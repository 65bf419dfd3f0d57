import { renderConfig, type ConfigEntry } from "../render/config.js";
import { jsonOption, type CommandDefinition } from "./command.js";

export const configShow: CommandDefinition = {
  words: ["config", "show"],
  summary: "Show every setting, its value and where it came from",
  options: jsonOption,
  examples: [
    ["config show", "settings as the daemon read them"],
    ["config show --json", "with units and descriptions"],
  ],
  run: async (_args, { client, paths, style }) => {
    const entries = await client.read<readonly ConfigEntry[]>("/v1/config");
    return {
      json: { file: paths.configFile, settings: entries },
      text: () => renderConfig(paths.configFile, entries, style),
    };
  },
};
