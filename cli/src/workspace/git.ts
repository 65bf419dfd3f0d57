import { BangerError } from "@banger/core/client";

class GitMissingError extends BangerError {
  override readonly code = "ERR_GIT_MISSING";
  override readonly kind = "unavailable";
  constructor(cause: unknown) {
    super("git is not installed", { hint: "Run: apt-get install git", cause });
  }
}

export class GitFailedError extends BangerError {
  override readonly code = "ERR_GIT_FAILED";
  /** what git wrote on stderr */
  readonly output: string;
  constructor(args: readonly string[], output: string) {
    super(`git ${args.join(" ")} failed`);
    this.output = output;
  }
  override get details(): readonly string[] {
    return this.output.split("\n").filter(Boolean).slice(0, 10);
  }
}

/** Longest run of a git command that only reads, ms. */
const limitMs = 60_000;

/**
 * A repository may come from a stranger, with its `.git/config`. What of it would run programs when git only reads is turned off:
 * the file system monitor runs its program from `ls-files` on, hooks run when git writes the index.
 */
const harmless = [
  "--no-pager",
  ...["-c", "core.fsmonitor=false"],
  ...["-c", "core.hooksPath=/dev/null"],
];

/**
 * `ls-files` reads a .gitignore that is not checked out from the objects; a partial clone would fetch it, with a program of the
 * repository's choice. No transport is allowed, whatever `protocol.*.allow` says.
 */
const harmlessEnv = {
  GIT_OPTIONAL_LOCKS: "0",
  GIT_TERMINAL_PROMPT: "0",
  GIT_NO_LAZY_FETCH: "1",
  GIT_ALLOW_PROTOCOL: "",
};

/**
 * Runs a git command that only reads, and none of the programs that the repository's configuration names.
 * @returns its output
 * @throws {@link GitMissingError}, {@link GitFailedError}, the signal's reason
 */
export async function git(
  directory: string,
  args: readonly string[],
  signal: AbortSignal,
): Promise<Buffer> {
  const { execFile } = await import("node:child_process");
  return new Promise((resolve, reject) => {
    execFile(
      "git",
      [...harmless, "-C", directory, ...args],
      {
        encoding: "buffer",
        maxBuffer: 512 * 1024 * 1024,
        timeout: limitMs,
        signal,
        env: { ...process.env, LC_ALL: "C", ...harmlessEnv },
      },
      (error, stdout, stderr) => {
        if (!error) resolve(stdout);
        else if (signal.aborted) reject(signal.reason as Error);
        else if (error.code === "ENOENT") reject(new GitMissingError(error));
        else reject(new GitFailedError(args, stderr.toString("utf8")));
      },
    );
  });
}
