import {
  CommandFailedError,
  ToolMissingError,
  type CommandRunner,
} from "@banger/core";
import type { DiskStep } from "./disk-plan.js";
import { asRootOfNamespace } from "./mkfs.js";

/** Programs that a step runs, all of them of e2fsprogs. */
export const stepTools: Readonly<Record<DiskStep, readonly string[]>> = {
  make: ["mke2fs", "debugfs"],
  grow: ["e2fsck", "resize2fs"],
  keep: [],
};

/** Those of `programs` that are not installed. */
export async function findMissing(
  commands: CommandRunner,
  programs: readonly string[],
): Promise<readonly string[]> {
  const paths = await Promise.all(
    programs.map((program) => commands.find(program)),
  );
  return programs.filter((_, index) => paths[index] === undefined);
}

/** Why this user cannot make a user namespace, or `undefined` when it works; tried, as several settings forbid it. */
export async function userNamespaceProblem(
  commands: CommandRunner,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    await commands.run({
      file: "unshare",
      args: [...asRootOfNamespace, "true"],
      timeoutMs: 5_000,
      signal,
    });
    return undefined;
  } catch (error) {
    if (
      error instanceof ToolMissingError ||
      error instanceof CommandFailedError
    )
      return error.message;
    throw error;
  }
}

/** One step that makes user namespaces work again. */
export const userNamespaceFix =
  "Install util-linux and allow user namespaces: sysctl kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu), kernel.unprivileged_userns_clone=1 (Debian), user.max_user_namespaces";

/** One step that brings the programs. */
export const toolsFix = "Install e2fsprogs: apt-get install e2fsprogs";
