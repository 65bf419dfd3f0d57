import type { Command, CommandResult, CommandRunner } from "@banger/core";
import type { Account } from "./accounts.js";

/**
 * Runs a program with the rights of an account and none of root's environment: what is read and written for the owner in the owner's
 * own directories must not be done by root, who would follow the owner's links anywhere.
 */
export function runAsOwner(
  commands: CommandRunner,
  { name, home }: Pick<Account, "name" | "home">,
  { file, args, ...rest }: Command,
): Promise<CommandResult> {
  const environment = [
    `HOME=${home}`,
    "PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin",
  ];
  return commands.run({
    ...rest,
    file: "runuser",
    args: ["-u", name, "--", "env", "-i", ...environment, file, ...args],
    cwd: "/",
  });
}
