import type { Io } from "../io.js";
import type { Arguments } from "./arguments.js";
import type { OptionDefinition } from "./command.js";
import { UsageError } from "./usage-error.js";

/** Option of commands that may give the guest's command a terminal. */
export const ttyOption = {
  tty: {
    type: "boolean",
    alias: "t",
    describe: "give the command a terminal",
  },
} satisfies Record<string, OptionDefinition>;

/** Whether {@link ttyOption} is given. @throws {@link UsageError} when there is no terminal to pass on */
export function wantsTty(args: Arguments, { stdin }: Io): boolean {
  if (!args.flag("tty")) return false;
  if (stdin.isTTY !== true)
    throw new UsageError("-t needs a terminal on stdin", {
      hint: "Leave -t out when input comes from a file or a pipe",
    });
  return true;
}
