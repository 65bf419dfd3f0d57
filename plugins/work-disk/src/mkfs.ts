import {
  CommandFailedError,
  ToolMissingError,
  type CommandRunner,
  type VmRecord,
} from "@banger/core";
import { diskPaths, mkfsArguments } from "./disk-plan.js";

/** Making 16 TiB takes seconds; a seed of some GiB on a slow disk takes minutes. */
const makeLimitMs = 240_000;

/** Arguments of `unshare` before a program: in a user namespace the files of the caller belong to root. */
export const asRootOfNamespace: readonly string[] = [
  "--user",
  "--map-root-user",
  "--",
];

/**
 * Makes the file system in the unfinished file, with the staging directory's content, all of it owned by root:root.
 * @throws ToolMissingError, CommandFailedError, CancelledError
 */
export async function makeFileSystem(
  commands: CommandRunner,
  vm: VmRecord,
  isRoot: boolean,
  signal: AbortSignal,
): Promise<void> {
  // The absolute path: unshare looks on the caller's PATH, which often lacks /usr/sbin.
  const mke2fs = await commands.find("mke2fs");
  if (mke2fs === undefined) throw new ToolMissingError("mke2fs");
  const make = (prezeroed: boolean): Promise<unknown> => {
    const args = mkfsArguments(vm, prezeroed);
    const limits = { timeoutMs: makeLimitMs, signal };
    return isRoot
      ? commands.run({ file: mke2fs, args, ...limits })
      : commands.run({
          file: "unshare",
          args: [...asRootOfNamespace, mke2fs, ...args],
          ...limits,
        });
  };
  try {
    await make(true);
  } catch (error) {
    const isOlder =
      error instanceof CommandFailedError &&
      /Bad option\(s\) specified/.test(error.message);
    if (!isOlder) throw error;
    await make(false);
  }
  // mke2fs takes over the mode of everything but the root directory itself.
  await commands.run({
    file: "debugfs",
    args: [
      "-w",
      "-R",
      "set_inode_field <2> mode 040700",
      diskPaths(vm).unfinished,
    ],
    timeoutMs: 30_000,
    signal,
  });
}
