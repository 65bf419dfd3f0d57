import { realpath, stat } from "node:fs/promises";
import {
  ToolMissingError,
  type CommandRunner,
  type Install,
} from "@banger/core";
import { NotRootOwnedError, requireRootOwned } from "../../files/root-owned.js";
import { JailUnusableError } from "./jail-errors.js";

const programHint =
  "Put it where only root can change it and every directory above it, such as /usr/local/bin, and install again: sudo banger system install";

/**
 * A program that root is to run, without symbolic links. For an owner who is not root it must be one that nobody but root can change; root's
 * own configuration may name any.
 * @param program absolute, or looked up on the PATH
 * @throws ToolMissingError; {@link JailUnusableError} for one that others could change
 */
export async function findProgram(
  program: string,
  { owner }: Pick<Install, "owner">,
  commands: CommandRunner,
): Promise<string> {
  const found = await commands.find(program);
  if (found === undefined) throw new ToolMissingError(program);
  const path = await realpath(found);
  if (owner.uid === 0) return path;
  try {
    await requireRootOwned(path);
  } catch (error) {
    if (!(error instanceof NotRootOwnedError)) throw error;
    const problem = `may not be run as root: ${error.message}`;
    throw new JailUnusableError(path, problem, programHint, error);
  }
  if (!(await stat(path)).isFile())
    throw new JailUnusableError(path, "is no program", programHint);
  return path;
}
