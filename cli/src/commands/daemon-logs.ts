import { daemonLogFile } from "../client/start-daemon.js";
import { TerminalText } from "../render/terminal-text.js";
import { printTo } from "../terminal/print-to.js";
import type { CommandDefinition } from "./command.js";
import { lineCount } from "./line-count.js";
import { note } from "./operate.js";

/** Lines that are shown when nobody says how many. */
const defaultLines = 200;

export const daemonLogs: CommandDefinition = {
  words: ["daemon", "logs"],
  summary: "Print the daemon's log, a JSON object a line; needs no daemon",
  options: {
    follow: {
      type: "boolean",
      alias: "f",
      describe: "go on with what is logged next",
    },
    lines: {
      type: "string",
      alias: "n",
      describe: `begin with that many lines from the end; ${defaultLines} otherwise`,
    },
  },
  examples: [
    ["daemon logs -f", "watch the daemon work"],
    ["daemon logs -n 5000 | grep op-12ab34cd", "all about one operation"],
  ],
  endsSilently: true,
  run: async (args, cli) => {
    const { io, paths } = cli;
    const { stdout, interrupted } = io;
    const { readLog } = await import("./read-log.js");
    const file = daemonLogFile(paths);
    const filter = stdout.isTTY === true ? new TerminalText() : undefined;
    let isEmpty = true;
    for await (const bytes of readLog(file, {
      lines: lineCount(args) ?? defaultLines,
      follow: args.flag("follow"),
      signal: interrupted,
    })) {
      isEmpty = false;
      await printTo(stdout, filter ? filter.push(bytes) : bytes, interrupted);
    }
    if (isEmpty) note(cli, `nothing is logged yet in ${file}`);
    return {};
  },
};
