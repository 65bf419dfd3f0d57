import { BangerError } from "@banger/core/client";
import { basename, join, resolve } from "node:path";
import { containPaths } from "./contained-paths.js";
import { git } from "./git.js";

/** Nothing is at the path. */
export class PathNotFoundError extends BangerError {
  override readonly code = "ERR_PATH_NOT_FOUND";
  override readonly kind = "usage";
  constructor(path: string, hint: string, cause?: unknown) {
    super(`there is nothing at ${path}`, { hint, cause });
  }
}

class NotADirectoryError extends BangerError {
  override readonly code = "ERR_NOT_A_DIRECTORY";
  override readonly kind = "usage";
  constructor(path: string) {
    super(`${path} is not a directory`, {
      hint: "Name a directory; its whole git repository is copied",
    });
  }
}

class NotARepositoryError extends BangerError {
  override readonly code = "ERR_NOT_A_REPOSITORY";
  override readonly kind = "usage";
  constructor(
    path: string,
    reason: string,
    hint = "Make it a work tree: git init, then git add what the VM should have",
  ) {
    super(`${path} ${reason}`, { hint });
  }
}

class ForeignWorkTreeError extends BangerError {
  override readonly code = "ERR_FOREIGN_WORK_TREE";
  override readonly kind = "usage";
  constructor(path: string, top: string) {
    super(`the git repository around ${path} has its files elsewhere: ${top}`, {
      hint: "See who says so: git config --show-origin core.worktree",
    });
  }
}

/** A git work tree on the host, as `vm run <path>` copies it. */
export interface Repository {
  /** absolute path of the work tree's top */
  readonly top: string;
  /** name of the directory below /root */
  readonly name: string;
  /** tracked paths that are there, relative to the top, in git's order; submodules left out */
  readonly files: readonly Buffer[];
  readonly untracked: number;
  /** paths of submodules, whose files are not copied */
  readonly submodules: readonly string[];
  /** tracked paths that lead out of the work tree, such as through a symlink; not copied */
  readonly outside: readonly string[];
}

/**
 * Looks at the repository that encloses a path. Changes nothing, and runs nothing that the repository brings along.
 * @throws PathNotFoundError, NotADirectoryError, NotARepositoryError, also for a repository without tracked files,
 * ForeignWorkTreeError
 */
export async function inspectRepository(
  path: string,
  cwd: string,
  signal: AbortSignal,
): Promise<Repository> {
  const { stat, lstat } = await import("node:fs/promises");
  const start = resolve(cwd, path);
  const kind = await stat(start).catch((error: unknown) => {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR" || code === "ELOOP")
      throw new PathNotFoundError(
        path,
        "Name a directory inside a git repository",
        error,
      );
    throw error;
  });
  if (!kind.isDirectory()) throw new NotADirectoryError(path);
  const top = await findTop(start, path, signal);
  const listed = await git(top, ["ls-files", "-z", "--stage"], signal);
  const tracked: Buffer[] = [];
  const submodules: string[] = [];
  let last: Buffer | undefined;
  for (const entry of splitZeros(listed)) {
    const tab = entry.indexOf(0x09);
    const file = entry.subarray(tab + 1);
    // A file in conflict has up to three entries.
    if (last?.equals(file)) continue;
    last = file;
    if (entry.toString("latin1", 0, 6) === "160000") {
      submodules.push(file.toString("utf8"));
      continue;
    }
    tracked.push(file);
  }
  if (tracked.length === 0 && submodules.length === 0)
    throw new NotARepositoryError(
      path,
      "is in a git repository without tracked files",
      "Run: git add, with what the VM should have",
    );
  const { inside, outside } = await containPaths(top, tracked);
  const files: Buffer[] = [];
  for (const file of inside) {
    const there = await lstat(
      Buffer.concat([Buffer.from(`${top}/`), file]),
    ).catch((error: unknown) => {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENOENT" || code === "ENOTDIR") return undefined;
      throw error;
    });
    // A directory in place of a tracked file is untracked content.
    if (there?.isFile() || there?.isSymbolicLink()) files.push(file);
  }
  const others = await git(
    top,
    ["ls-files", "-z", "--others", "--exclude-standard"],
    signal,
  );
  return {
    top,
    name: basename(top) || "repository",
    files,
    untracked: splitZeros(others).length,
    submodules,
    outside: outside.map((file) => file.toString("utf8")),
  };
}

async function findTop(
  directory: string,
  path: string,
  signal: AbortSignal,
): Promise<string> {
  const { GitFailedError } = await import("./git.js");
  try {
    const top = await revParse(directory, "--show-toplevel", signal);
    const gitDirectory = await revParse(
      directory,
      "--absolute-git-dir",
      signal,
    );
    if (!(await belongs(directory, top, gitDirectory)))
      throw new ForeignWorkTreeError(path, top);
    return top;
  } catch (error) {
    if (!(error instanceof GitFailedError)) throw error;
    if (error.output.includes("must be run in a work tree"))
      throw new NotARepositoryError(path, "is in a bare git repository");
    if (error.output.includes("not a git repository"))
      throw new NotARepositoryError(path, "is not in a git repository");
    throw error;
  }
}

async function revParse(
  directory: string,
  what: string,
  signal: AbortSignal,
): Promise<string> {
  const answer = await git(directory, ["rev-parse", what], signal);
  return answer.toString("utf8").replace(/\n$/, "");
}

/**
 * Whether the directory lies in the work tree, and the work tree's own `.git` is the repository that git used. With core.worktree a
 * stranger's repository names any directory as its work tree, such as the home around it.
 */
async function belongs(
  directory: string,
  top: string,
  gitDirectory: string,
): Promise<boolean> {
  const { readFile, realpath, stat } = await import("node:fs/promises");
  const real = await realpath(directory);
  if (real !== top && !real.startsWith(top === "/" ? top : `${top}/`))
    return false;
  const own = join(top, ".git");
  try {
    // A submodule or a linked work tree has a file that names its repository.
    const target = (await stat(own)).isFile()
      ? /^gitdir: (.*?)\n*$/s.exec(await readFile(own, "utf8"))?.[1]
      : own;
    return (
      target !== undefined &&
      (await realpath(resolve(top, target))) === (await realpath(gitDirectory))
    );
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return false;
    throw error;
  }
}

function splitZeros(bytes: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  let from = 0;
  for (let at = bytes.indexOf(0); at >= 0; at = bytes.indexOf(0, from)) {
    parts.push(bytes.subarray(from, at));
    from = at + 1;
  }
  return parts;
}
