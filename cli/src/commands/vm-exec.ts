import { agentOption, execByAgent } from "./exec-by-agent.js";
import { execInSession } from "./session-outcome.js";
import { ownFailureStatus, type CommandDefinition } from "./command.js";
import { ttyOption, wantsTty } from "./tty-option.js";
import { vmPositional } from "./vm-positional.js";

export const vmExec: CommandDefinition = {
  words: ["vm", "exec"],
  summary: "Run a command in a running VM and pass its output and status on",
  positionals: [vmPositional],
  guestCommand: "required",
  options: {
    cwd: {
      type: "string",
      describe:
        "directory in the guest, from /root on when relative; /root otherwise",
    },
    ...ttyOption,
    ...agentOption,
  },
  examples: [
    ["vm exec web -- systemctl status", "run a command"],
    ["vm exec web -t -- top", "one that needs a terminal"],
    ["vm exec web --agent -- journalctl -u ssh", "when SSH is broken"],
    ["vm exec web --cwd /srv -- tar -x < site.tar", "feed its input"],
  ],
  endsSilently: true,
  failureStatus: () => ownFailureStatus,
  run: (args, cli) =>
    args.flag("agent")
      ? execByAgent(args, cli)
      : execInSession(args, cli, wantsTty(args, cli.io)),
};
