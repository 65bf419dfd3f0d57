import { renderConfig, type ConfigEntry } from "../render/config.js";
import type { Io } from "../io.js";
import { jsonOption, type CommandDefinition } from "./command.js";

export const configShow: CommandDefinition = {
  words: ["config", "show"],
  summary: "Show every setting, its value and where it came from",
  options: jsonOption,
  examples: [
    ["config show", "settings as the daemon read them"],
    ["config show --json", "with units and descriptions"],
  ],
  run: async (_args, { client, io, paths, style }) => {
    const entries = await client.read<readonly ConfigEntry[]>("/v1/config");
    return {
      json: { file: paths.configFile, settings: entries },
      text: () => renderConfig(paths.configFile, entries, style, widthOf(io)),
    };
  },
};

/** Elsewhere than on a terminal everything is printed. */
function widthOf({ stdout }: Io): number | undefined {
  if (stdout.isTTY !== true) return undefined;
  return stdout.columns === undefined || stdout.columns < 1
    ? 80
    : stdout.columns;
}
