import { constants, type Stats } from "node:fs";
import {
  chmod,
  chown,
  copyFile,
  link,
  mkdir,
  realpath,
  stat,
} from "node:fs/promises";
import { dirname } from "node:path";
import type { CommandRunner } from "@banger/core";
import { hasErrorCode } from "../../files/error-code.js";
import { JailUnusableError, otherBaseHint } from "./jail-errors.js";
import type { JailOwner } from "./jail-owner.js";

/** Longest run of mknod(1), ms. */
const mknodLimitMs = 10_000;

/** A file or block device of the host that the process in a jail is to have. */
export interface JailFile {
  /** on the host, absolute; links are followed */
  readonly source: string;
  /** in the jail, as seen from the host */
  readonly target: string;
  readonly readOnly: boolean;
  /** of this VM only: its owner may change. Others, such as an image's kernel, stay as they are */
  readonly isOwn: boolean;
}

/**
 * Puts a file into a jail. The VM's own: a hard link, so that both sides have the same file, which from then on belongs to the jail's user.
 * Another that is only read: a copy that root owns, as the user of a hard link could change the file for everybody. A block device: a node
 * of the same numbers. The target must not exist.
 * @throws {@link JailUnusableError} when the file is on another file system, or somebody else's and to be written
 */
export async function placeInJail(
  file: JailFile,
  owner: JailOwner,
  commands: CommandRunner,
  signal: AbortSignal,
): Promise<void> {
  // A hard link of a link would be a link that leads nowhere in the jail.
  const source = await realpath(file.source);
  const found = await stat(source);
  const { target, readOnly } = file;
  await makeDirectory(dirname(target));
  if (found.isBlockDevice()) {
    const { major, minor } = deviceNumbers(found);
    await commands.run({
      file: "mknod",
      args: ["-m", "600", target, "b", String(major), String(minor)],
      timeoutMs: mknodLimitMs,
      signal,
    });
  } else if (!found.isFile()) {
    throw new Error(`${source} is neither a file nor a block device`);
  } else if (file.isOwn) {
    await hardLink(source, target);
  } else if (readOnly) {
    const { COPYFILE_EXCL, COPYFILE_FICLONE } = constants;
    await copyFile(source, target, COPYFILE_EXCL | COPYFILE_FICLONE);
    await chmod(target, 0o444);
    return;
  } else if (isWritable(found, owner)) {
    // The user may change it without a jail, too.
    await hardLink(source, target);
    return;
  } else {
    throw new JailUnusableError(
      source,
      `may not be written by uid ${String(owner.uid)}, as which the VMM runs in its jail`,
      `Give it to that user: chown ${String(owner.uid)} ${source}`,
    );
  }
  await chown(target, owner.uid, owner.gid);
  await chmod(target, readOnly ? 0o400 : 0o600);
}

/** A directory whose entries the process in the jail cannot change. Idempotent; its parent must exist. */
async function makeDirectory(directory: string): Promise<void> {
  await mkdir(directory, { mode: 0o755 }).catch((error: unknown) => {
    if (!hasErrorCode(error, "EEXIST")) throw error;
  });
}

async function hardLink(source: string, target: string): Promise<void> {
  try {
    await link(source, target);
  } catch (error) {
    throw hasErrorCode(error, "EXDEV")
      ? new JailUnusableError(
          target,
          `cannot be made: ${source} is on another file system`,
          otherBaseHint,
          error,
        )
      : error;
  }
}

/** May this user, who is not root, read and write a file? Pure. */
export function isWritable(
  { mode, uid, gid }: Pick<Stats, "mode" | "uid" | "gid">,
  owner: JailOwner,
): boolean {
  const shift = owner.uid === uid ? 6 : owner.gid === gid ? 3 : 0;
  return ((mode >> shift) & 0o6) === 0o6;
}

/** Pure. @see gnu_dev_major(3) and gnu_dev_minor(3) */
export function deviceNumbers({ rdev }: Pick<Stats, "rdev">): {
  major: number;
  minor: number;
} {
  const device = BigInt(rdev);
  return {
    major: Number(((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn)),
    minor: Number((device & 0xffn) | ((device >> 12n) & ~0xffn)),
  };
}
