/** The paths of a work tree, told apart. */
export interface ContainedPaths {
  readonly inside: readonly Buffer[];
  /** lead out of the work tree or into its `.git`, or may do so because a parent is a symlink */
  readonly outside: readonly Buffer[];
}

/**
 * Tells which paths stay in a work tree, as git itself does before it touches a file. The index cannot be trusted: whoever made
 * the repository wrote it. Paths that are not there count as inside. Follows no symlink, changes nothing.
 * @param top absolute path
 * @param paths relative to the top
 */
export async function containPaths(
  top: string,
  paths: readonly Buffer[],
): Promise<ContainedPaths> {
  const { lstat } = await import("node:fs/promises");
  // Keys are latin1, which keeps all bytes apart.
  const known = new Map<string, boolean>([["", true]]);
  const isRealDirectory = async (directory: string): Promise<boolean> => {
    const before = known.get(directory);
    if (before !== undefined) return before;
    const parent = directory.slice(0, Math.max(0, directory.lastIndexOf("/")));
    const isReal =
      (await isRealDirectory(parent)) &&
      !(await isSymlink(Buffer.from(directory, "latin1")));
    known.set(directory, isReal);
    return isReal;
  };
  const isSymlink = async (path: Buffer): Promise<boolean> => {
    try {
      const full = Buffer.concat([Buffer.from(`${top}/`), path]);
      return (await lstat(full)).isSymbolicLink();
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENOENT" || code === "ENOTDIR") return false;
      throw error;
    }
  };
  const inside: Buffer[] = [];
  const outside: Buffer[] = [];
  for (const path of paths) {
    const text = path.toString("latin1");
    const parent = text.slice(0, Math.max(0, text.lastIndexOf("/")));
    const isInside = isPlain(text) && (await isRealDirectory(parent));
    (isInside ? inside : outside).push(path);
  }
  return { inside, outside };
}

/** Git writes no other path into an index, but reads every one. */
function isPlain(path: string): boolean {
  return path
    .split("/")
    .every((part) => !["", ".", ".."].includes(part) && !/^\.git$/i.test(part));
}
