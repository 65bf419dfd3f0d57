import { printTo } from "../terminal/print-to.js";
import { TerminalText } from "../render/terminal-text.js";
import type { CommandDefinition } from "./command.js";
import { lineCount } from "./line-count.js";
import { vmPositional } from "./vm-positional.js";

export const vmLogs: CommandDefinition = {
  words: ["vm", "logs"],
  summary: "Print a guest's console; on a terminal without control sequences",
  positionals: [vmPositional],
  options: {
    follow: {
      type: "boolean",
      alias: "f",
      describe: "go on with what the guest prints next",
    },
    lines: {
      type: "string",
      alias: "n",
      describe: "begin with that many lines from the end",
    },
  },
  examples: [
    ["vm logs web", "all of it"],
    ["vm logs -f -n 20 web", "the last 20 lines and what follows"],
  ],
  endsSilently: true,
  run: async (args, { client, io }) => {
    const { stdout, interrupted } = io;
    const lines = lineCount(args);
    const query = new URLSearchParams({
      follow: String(args.flag("follow")),
      ...(lines === undefined ? {} : { lines: String(lines) }),
    });
    const vm = encodeURIComponent(args.required("vm"));
    const filter = stdout.isTTY === true ? new TerminalText() : undefined;
    const path = `/v1/vms/${vm}/logs?${query.toString()}`;
    for await (const bytes of client.text(path, interrupted))
      await printTo(stdout, filter ? filter.push(bytes) : bytes, interrupted);
    if (filter) await printTo(stdout, filter.end(), interrupted);
    return {};
  },
};
