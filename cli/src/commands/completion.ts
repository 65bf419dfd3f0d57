import { completionScript, shells } from "./completion-scripts.js";
import type { CommandDefinition } from "./command.js";

export const completion: CommandDefinition = {
  words: ["completion"],
  summary: "Print a script that completes banger's command lines",
  positionals: [
    {
      name: "shell",
      describe: "the shell that reads it",
      required: true,
      choices: shells,
    },
  ],
  examples: [
    [
      "completion bash > ~/.local/share/bash-completion/completions/banger",
      "the directory must be there",
    ],
    ['completion zsh > "${fpath[1]}/_banger"', ""],
    ["completion fish > ~/.config/fish/completions/banger.fish", ""],
  ],
  run: async (args) => ({
    text: () => completionScript(args.required("shell")).trimEnd(),
  }),
};
