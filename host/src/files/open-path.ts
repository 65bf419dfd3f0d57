import { constants } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";

/** open(2): a handle of the file itself, of whatever kind, without opening it. Node.js has no name for it. */
const O_PATH = 0o10000000;

/**
 * A handle of what a path leads to, of a symbolic link itself. Nothing is opened: no device notices, no pipe blocks.
 * @param flags beside those, such as `O_DIRECTORY`
 */
export function openPath(
  path: string | Buffer,
  flags = 0,
): Promise<FileHandle> {
  return open(path, O_PATH | constants.O_NOFOLLOW | flags);
}

/** A handle of what an open directory has under a name, wherever the directory is by now; of a symbolic link itself. */
export function openBeneath(
  directory: FileHandle,
  name: string,
  flags = 0,
): Promise<FileHandle> {
  return openPath(`${descriptorPath(directory)}/${name}`, flags);
}

/** A path that leads to what is open, whatever is under its name by now. */
export function descriptorPath({ fd }: FileHandle): string {
  return `/proc/self/fd/${String(fd)}`;
}
