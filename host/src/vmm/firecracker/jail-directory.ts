import type { Stats } from "node:fs";
import { lstat, readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { VmId } from "@banger/core";
import { hasErrorCode } from "../../files/error-code.js";
import { JailUnusableError, otherBaseHint } from "./jail-errors.js";
import { removeTree } from "./jail-tree.js";

/** Name of the program in a jail, and of the directory of all jails: the jailer takes both from the file that it is given. */
export const jailedProgram = "firecracker";

/** Where the jail of a VM is. Pure. @see Firecracker, docs/jailer.md: `<chroot base>/<name of the program>/<id>` */
export function jailDirectoryOf(base: string, id: VmId): string {
  return join(base, jailedProgram, id);
}

/** The root directory of the process in a jail. Pure. */
export function jailRootOf(jailDirectory: string): string {
  return join(jailDirectory, "root");
}

/**
 * Removes a VM's jail with everything in it. Idempotent. Follows no symbolic link and crosses no mount.
 * @throws {@link JailUnusableError} when others could have put something else in its place, or something is mounted in it; Error for a
 *   path that is no jail of this VM
 */
export async function removeJailDirectory(
  jailDirectory: string,
  id: VmId,
): Promise<void> {
  const parent = dirname(jailDirectory);
  // A damaged record must not make us remove anything else.
  if (basename(jailDirectory) !== id || basename(parent) !== jailedProgram)
    throw new Error(`${jailDirectory} is no jail of the VM ${id}`);
  // A start that was refused because of the directories above has made none: it must not be in the way of a deletion.
  if (!(await statsOf(jailDirectory))) return;
  if (!(await requireSafeDirectory(parent))) return;
  const mounted = await mountsBelow(jailDirectory);
  if (mounted[0] !== undefined)
    throw new JailUnusableError(
      jailDirectory,
      `cannot be removed: ${mounted[0]} is mounted in it`,
      `Unmount it: umount ${mounted[0]}`,
    );
  await removeTree(jailDirectory);
}

/**
 * Looks whether others could swap a directory, or one of those above it, for something else.
 * @returns false when there is no such directory
 * @throws {@link JailUnusableError} when they could, or when one is a link or no directory
 */
export async function requireSafeDirectory(path: string): Promise<boolean> {
  const parent = dirname(path);
  if (parent !== path && !(await requireSafeDirectory(parent))) return false;
  const found = await statsOf(path);
  if (!found) return false;
  const problem = problemOf(found);
  if (problem !== undefined)
    throw new JailUnusableError(path, problem, otherBaseHint);
  return true;
}

/** What speaks against making jails below a base, as {@link requireSafeDirectory} sees it; `undefined` when nothing does. */
export async function jailBaseProblem(
  base: string,
): Promise<JailUnusableError | undefined> {
  try {
    await requireSafeDirectory(join(base, jailedProgram));
    return undefined;
  } catch (error) {
    if (error instanceof JailUnusableError) return error;
    throw error;
  }
}

async function statsOf(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    // ENOTDIR: above it is a file, of which nothing can be made.
    if (hasErrorCode(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}

function problemOf(found: Stats): string | undefined {
  if (!found.isDirectory()) return "is no directory, but a link or a file";
  if (found.uid !== 0 && found.uid !== process.getuid?.())
    return `belongs to another user (uid ${String(found.uid)})`;
  // In a sticky directory, such as /tmp, nobody can rename what is another's.
  const isOpen = (found.mode & 0o022) !== 0 && (found.mode & 0o1000) === 0;
  return isOpen ? "can be changed by others" : undefined;
}

/** Mount points in a directory, itself included. */
async function mountsBelow(directory: string): Promise<readonly string[]> {
  const table = await readFile("/proc/self/mountinfo", "utf8");
  return table
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .map((field) =>
      // proc(5): space, tab, line break and backslash are written in octal.
      field.replaceAll(/\\([0-7]{3})/g, (_, octal: string) =>
        String.fromCharCode(parseInt(octal, 8)),
      ),
    )
    .filter((path) => path === directory || path.startsWith(`${directory}/`));
}
