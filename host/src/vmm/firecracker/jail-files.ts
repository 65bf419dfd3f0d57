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

/** Longest run of mknod(1), ms. */
const mknodLimitMs = 10_000;

/** Whom the process in a jail runs as. */
export interface JailOwner {
  readonly uid: number;
  readonly gid: number;
}

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
 * Puts a file into a jail: a hard link, so that both sides have the same file; a copy when it may be shared and the jail's user could not
 * read it; for a block device a node of the same numbers. The target must not exist.
 * @throws {@link JailUnusableError} when the file is on another file system
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
  await makeJailDirectory(dirname(target), owner);
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
  } else if (isAccessible(found, owner, readOnly)) {
    await hardLink(source, target);
    return;
  } else if (readOnly) {
    const { COPYFILE_EXCL, COPYFILE_FICLONE } = constants;
    await copyFile(source, target, COPYFILE_EXCL | COPYFILE_FICLONE);
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

/** A directory that the process in the jail may use. Idempotent; its parent must exist. */
export async function makeJailDirectory(
  directory: string,
  owner: JailOwner,
): Promise<void> {
  await mkdir(directory, { mode: 0o700 }).catch((error: unknown) => {
    if (!hasErrorCode(error, "EEXIST")) throw error;
  });
  await chown(directory, owner.uid, owner.gid);
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

/** May this user read a file, and write it unless it is read only? Pure. */
export function isAccessible(
  { mode, uid, gid }: Pick<Stats, "mode" | "uid" | "gid">,
  owner: JailOwner,
  readOnly: boolean,
): boolean {
  if (owner.uid === 0) return true;
  const shift = owner.uid === uid ? 6 : owner.gid === gid ? 3 : 0;
  const needed = readOnly ? 0o4 : 0o6;
  return ((mode >> shift) & needed) === needed;
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
