import { runSession } from "../terminal/session.js";
import type { Arguments } from "./arguments.js";
import type { Cli, Outcome } from "./command.js";

/** Runs the command, or a shell, in the VM that the arguments name. */
export async function execInSession(
  args: Arguments,
  { client, io }: Cli,
  terminal: boolean,
): Promise<Outcome> {
  const argv = args.guestCommand;
  const cwd = args.string("cwd");
  const exitCode = await runSession(client, io, {
    vm: args.required("vm"),
    ...(argv ? { argv } : {}),
    ...(cwd === undefined ? {} : { cwd }),
    terminal,
  });
  return { exitCode };
}
