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
 * Runs a git command that only reads.
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
      ["-C", directory, ...args],
      {
        encoding: "buffer",
        maxBuffer: 512 * 1024 * 1024,
        timeout: limitMs,
        signal,
        env: { ...process.env, LC_ALL: "C", GIT_OPTIONAL_LOCKS: "0" },
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
