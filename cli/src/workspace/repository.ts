import { BangerError } from "@banger/core/client";
import { basename, dirname, resolve } from "node:path";
import { git } from "./git.js";

class PathNotFoundError extends BangerError {
  override readonly code = "ERR_PATH_NOT_FOUND";
  override readonly kind = "usage";
  constructor(path: string, cause?: unknown) {
    super(`there is nothing at ${path}`, {
      hint: "Name a directory inside a git repository",
      cause,
    });
  }
}

class NotARepositoryError extends BangerError {
  override readonly code = "ERR_NOT_A_REPOSITORY";
  override readonly kind = "usage";
  constructor(path: string, reason: string) {
    super(`${path} ${reason}`, {
      hint: "Make it a work tree: git init, then git add what the VM should have",
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
}

/**
 * Looks at the repository that encloses a path. Changes nothing.
 * @throws PathNotFoundError, NotARepositoryError
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
      throw new PathNotFoundError(path, error);
    throw error;
  });
  const directory = kind.isDirectory() ? start : dirname(start);
  const top = await findTop(directory, path, signal);
  const listed = await git(top, ["ls-files", "-z", "--stage"], signal);
  const files: Buffer[] = [];
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
  };
}

async function findTop(
  directory: string,
  path: string,
  signal: AbortSignal,
): Promise<string> {
  const { GitFailedError } = await import("./git.js");
  try {
    const top = await git(directory, ["rev-parse", "--show-toplevel"], signal);
    return top.toString("utf8").replace(/\n$/, "");
  } catch (error) {
    if (!(error instanceof GitFailedError)) throw error;
    if (error.output.includes("must be run in a work tree"))
      throw new NotARepositoryError(path, "is in a bare git repository");
    if (error.output.includes("not a git repository"))
      throw new NotARepositoryError(path, "is not in a git repository");
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
