import { constants, type Stats } from "node:fs";
import {
  chmod,
  chown,
  copyFile,
  link,
  mkdir,
  realpath,
  unlink,
  type FileHandle,
} from "node:fs/promises";
import { dirname } from "node:path";
import type { CommandRunner } from "@banger/core";
import { deviceNumbers } from "../../files/device-numbers.js";
import { hasErrorCode } from "../../files/error-code.js";
import { descriptorPath, openPath } from "../../files/open-path.js";
import { ForeignFileError, ownedFileProblem } from "../../files/owned-file.js";
import { JailUnusableError, otherBaseHint } from "./jail-errors.js";
import type { JailOwner } from "./jail-owner.js";

/** Longest run of mknod(1), ms. */
const mknodLimitMs = 10_000;

/**
 * A file of the host that the process in a jail is to have. `own` is this VM's only: its owner may change. `shared` is for others too, such
 * as an image's kernel, and stays as it is. `any` is a file or block device that somebody who may name everything has named. `device` is a
 * block device that was looked at before.
 */
export type JailSource =
  | { readonly kind: "own" | "shared" | "any"; readonly path: string }
  | { readonly kind: "device"; readonly rdev: number };

export interface JailFile {
  readonly source: JailSource;
  /** in the jail, as seen from the host; its directory's parent is one that only we can change */
  readonly target: string;
  readonly readOnly: boolean;
}

/** Whose files there are. */
export interface JailUsers {
  /** whom the process in the jail runs as */
  readonly owner: JailOwner;
  /** whose files `own` and `shared` ones may be: those of others are neither shown nor given away */
  readonly sources: readonly number[];
}

/**
 * Puts a file into a jail. The VM's own: a hard link, so that both sides have the same file, which from then on belongs to the jail's user.
 * Another that is only read: a copy that root owns, as the user of a hard link could change the file for everybody. A block device: a node
 * of the same numbers. The target must not exist. Directories of the source may be changed by their owner at any moment: what counts is
 * what was opened, or is in the jail then.
 * @throws {@link JailUnusableError} when the file is on another file system, or somebody else's and to be written;
 *   {@link ForeignFileError} when something else is in the place of a file of ours
 */
export async function placeInJail(
  file: JailFile,
  users: JailUsers,
  commands: CommandRunner,
  signal: AbortSignal,
): Promise<void> {
  const { source, target } = file;
  await makeDirectory(dirname(target));
  switch (source.kind) {
    case "device":
      await makeNode(file, source.rdev, users.owner, commands, signal);
      return;
    case "own":
      await linkOwn(file, source.path, users);
      return;
    case "shared":
      await withPath(source.path, async (handle, found) => {
        const problem = ownedFileProblem(found, users.sources);
        if (problem !== undefined)
          throw new ForeignFileError(source.path, problem);
        await copy(handle, target);
      });
      return;
    case "any": {
      // A hard link of a link would be a link that leads nowhere in the jail.
      const path = await realpath(source.path);
      await withPath(path, async (handle, found) => {
        if (found.isBlockDevice())
          await makeNode(file, found.rdev, users.owner, commands, signal);
        else if (!found.isFile())
          throw new Error(`${path} is neither a file nor a block device`);
        else if (file.readOnly) await copy(handle, target);
        else if (isWritable(found, users.owner))
          // The user may change it without a jail, too.
          await hardLink(path, target);
        else throw notWritable(path, users.owner);
      });
    }
  }
}

async function makeNode(
  { target, readOnly }: JailFile,
  rdev: number,
  owner: JailOwner,
  commands: CommandRunner,
  signal: AbortSignal,
): Promise<void> {
  const { major, minor } = deviceNumbers(rdev);
  await commands.run({
    file: "mknod",
    args: ["-m", "600", target, "b", String(major), String(minor)],
    timeoutMs: mknodLimitMs,
    signal,
  });
  await withPath(target, (handle, found) =>
    give(handle, found, owner, readOnly),
  );
}

/** Checked once it is in the jail, where nobody but us can swap it. */
async function linkOwn(
  { target, readOnly }: JailFile,
  source: string,
  { owner, sources }: JailUsers,
): Promise<void> {
  await hardLink(source, target);
  try {
    await withPath(target, async (handle, found) => {
      const problem =
        ownedFileProblem(found, sources) ??
        // It and the one in the jail. A third would change hands with them.
        (found.nlink > 2 ? "has more names than its own" : undefined);
      if (problem !== undefined) throw new ForeignFileError(source, problem);
      await give(handle, found, owner, readOnly);
    });
  } catch (error) {
    await unlink(target);
    throw error;
  }
}

async function give(
  handle: FileHandle,
  found: Stats,
  { uid, gid }: JailOwner,
  readOnly: boolean,
): Promise<void> {
  const path = descriptorPath(handle);
  if (found.uid !== uid || found.gid !== gid) await chown(path, uid, gid);
  await chmod(path, readOnly ? 0o400 : 0o600);
}

async function copy(source: FileHandle, target: string): Promise<void> {
  const { COPYFILE_EXCL, COPYFILE_FICLONE } = constants;
  const flags = COPYFILE_EXCL | COPYFILE_FICLONE;
  await copyFile(descriptorPath(source), target, flags);
  await chmod(target, 0o444);
}

async function withPath(
  path: string,
  use: (handle: FileHandle, found: Stats) => Promise<void>,
): Promise<void> {
  const handle = await openPath(path);
  try {
    await use(handle, await handle.stat());
  } finally {
    await handle.close();
  }
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

function notWritable(path: string, { uid }: JailOwner): JailUnusableError {
  return new JailUnusableError(
    path,
    `may not be written by uid ${String(uid)}, as which the VMM runs in its jail`,
    `Give it to that user: chown ${String(uid)} ${path}`,
  );
}

/** May this user, who is not root, read and write a file? Pure. */
export function isWritable(
  { mode, uid, gid }: Pick<Stats, "mode" | "uid" | "gid">,
  owner: JailOwner,
): boolean {
  const shift = owner.uid === uid ? 6 : owner.gid === gid ? 3 : 0;
  return ((mode >> shift) & 0o6) === 0o6;
}
