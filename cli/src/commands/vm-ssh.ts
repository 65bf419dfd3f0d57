import { hasTerminal } from "../terminal/session.js";
import { ownFailureStatus, type CommandDefinition } from "./command.js";
import { execInSession } from "./session-outcome.js";
import { vmPositional } from "./vm-positional.js";

export const vmSsh: CommandDefinition = {
  words: ["vm", "ssh"],
  summary: "Open a shell in a running VM",
  positionals: [vmPositional],
  guestCommand: "optional",
  examples: [
    ["vm ssh web", "a login shell"],
    ["vm ssh web -- journalctl -f", "a command on a terminal"],
  ],
  endsSilently: true,
  failureStatus: (args) => (args.guestCommand ? ownFailureStatus : 1),
  run: (args, cli) => execInSession(args, cli, hasTerminal(cli.io)),
};
