import { jsonOption, type CommandDefinition } from "./command.js";

export const version: CommandDefinition = {
  words: ["version"],
  summary: "Print the version and the build",
  options: jsonOption,
  examples: [["version --json", "version, build, Node, architecture"]],
  run: async (_args, { build }) => ({
    json: {
      version: build.version,
      build: build.id,
      node: process.version,
      architecture: process.arch,
    },
    text: () =>
      `banger ${build.version} (build ${build.id}, Node ${process.version})`,
  }),
};
