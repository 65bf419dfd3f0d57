import { lstat, readdir, readlink, realpath } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import type { Stats } from "node:fs";
import { BangerError } from "@banger/core";
import { hasErrorCode } from "./error-code.js";

/** Somebody other than root could change what root is about to trust. */
export class NotRootOwnedError extends BangerError {
  override readonly code = "ERR_NOT_ROOT_OWNED";
  constructor(path: string, problem: string, cause?: unknown) {
    super(`${path} ${problem}, so root cannot trust it`, {
      hint: "Install banger's program again: sudo banger system install",
      cause,
    });
  }
}

const writableByOthers = 0o022;
const sticky = 0o1000;

/**
 * Looks whether only root can change what is at a path: each step of it, from `/`, is root's, no link, and not writable by its group or
 * others. A directory like `/tmp` on the way will do: in it nobody can take away what is root's.
 * @param path absolute, without `.` and `..`
 * @throws {@link NotRootOwnedError} also when there is nothing
 */
export async function requireRootOwned(path: string): Promise<void> {
  for (const step of stepsTo(path)) {
    const found = await look(step);
    if (found.isSymbolicLink())
      throw new NotRootOwnedError(step, "is a symbolic link");
    const isCommon = step !== path && (found.mode & sticky) !== 0;
    requireRoots(step, found, isCommon);
  }
}

/**
 * The same for a path and all that is below it. A link may lead to anything that fits, or to nothing inside.
 * @throws {@link NotRootOwnedError}
 */
export async function requireRootOwnedTree(path: string): Promise<void> {
  const checked = new Set<string>();
  const trees = [path];
  for (let tree = trees.pop(); tree !== undefined; tree = trees.pop()) {
    if ([...checked].some((done) => isWithin(done, tree))) continue;
    await requireRootOwned(tree);
    trees.push(...(await checkBelow(tree)));
    checked.add(tree);
  }
}

/** @returns where links lead that leave the tree */
async function checkBelow(tree: string): Promise<readonly string[]> {
  const outside: string[] = [];
  const directories = (await look(tree)).isDirectory() ? [tree] : [];
  for (let at = directories.pop(); at !== undefined; at = directories.pop()) {
    for (const name of await readdir(at)) {
      const path = join(at, name);
      const found = await look(path);
      // Of a link the mode says nothing, but whose it is does.
      requireRoots(path, found, found.isSymbolicLink());
      if (found.isDirectory()) directories.push(path);
      if (!found.isSymbolicLink()) continue;
      const target = await targetOf(path, tree);
      if (!isWithin(tree, target)) outside.push(target);
    }
  }
  return outside;
}

async function targetOf(link: string, tree: string): Promise<string> {
  try {
    return await realpath(link);
  } catch (error) {
    const wanted = resolve(dirname(link), await readlink(link));
    // What is missing inside can be put there by root alone.
    if (hasErrorCode(error, "ENOENT") && isWithin(tree, wanted)) return wanted;
    throw new NotRootOwnedError(link, "leads nowhere", error);
  }
}

function requireRoots(path: string, found: Stats, anyMode: boolean): void {
  if (found.uid !== 0)
    throw new NotRootOwnedError(path, `belongs to uid ${String(found.uid)}`);
  if (!anyMode && (found.mode & writableByOthers) !== 0)
    throw new NotRootOwnedError(
      path,
      `is writable by others (mode ${(found.mode & 0o7777).toString(8)})`,
    );
}

async function look(path: string): Promise<Stats> {
  try {
    return await lstat(path);
  } catch (error) {
    throw new NotRootOwnedError(path, "cannot be looked at", error);
  }
}

/** `/`, `/usr`, `/usr/lib`, … */
function stepsTo(path: string): readonly string[] {
  const parent = dirname(path);
  return parent === path ? [path] : [...stepsTo(parent), path];
}

function isWithin(directory: string, path: string): boolean {
  const steps = relative(directory, path);
  return steps === "" || !/^\.\.(\/|$)/.test(steps);
}
