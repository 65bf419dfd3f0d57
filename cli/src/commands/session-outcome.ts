import { posix } from "node:path";
import { runSession } from "../terminal/session.js";
import type { Arguments } from "./arguments.js";
import type { Cli, Outcome } from "./command.js";
import { UsageError } from "./usage-error.js";

/** Runs the command, or a shell, in the VM that the arguments name. */
export async function execInSession(
  args: Arguments,
  { client, io }: Cli,
  terminal: boolean,
): Promise<Outcome> {
  const argv = args.guestCommand;
  const cwd = guestDirectory(args);
  const exitCode = await runSession(client, io, {
    vm: args.required("vm"),
    ...(argv ? { argv } : {}),
    ...(cwd === undefined ? {} : { cwd }),
    terminal,
  });
  return { exitCode };
}

/** The value of `--cwd` as an absolute path in the guest. @throws {@link UsageError} */
function guestDirectory(args: Arguments): string | undefined {
  const cwd = args.string("cwd");
  if (cwd === undefined) return undefined;
  if (cwd.includes("\0"))
    throw new UsageError("--cwd contains a NUL character");
  return cwd.startsWith("/") ? cwd : posix.join("/root", cwd);
}
