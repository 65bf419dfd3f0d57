import { PassThrough } from "node:stream";
import { BangerError } from "@banger/core/client";
import type { ApiClient } from "../client/api-client.js";
import { execInVm } from "../client/exec.js";
import { exitStatus } from "../terminal/session.js";
import { containPaths } from "./contained-paths.js";
import type { Repository } from "./repository.js";

class WorkspaceCopyError extends BangerError {
  override readonly code = "ERR_WORKSPACE_COPY";
  readonly #output: string;
  constructor(top: string, what: string, output: string) {
    super(`copying ${top} failed: ${what}`, {
      hint: "See whether the disk at /root is large enough: --disk-size",
    });
    this.#output = output;
  }
  override get details(): readonly string[] {
    return this.#output.split("\n").filter(Boolean).slice(0, 10);
  }
}

/** The work tree changed between the look at it and the copy. */
class WorkspaceChangedError extends BangerError {
  override readonly code = "ERR_WORKSPACE_CHANGED";
  readonly #paths: readonly string[];
  constructor(top: string, paths: readonly Buffer[]) {
    super(`${top} changed meanwhile: tracked files now lead out of it`, {
      hint: "Let nothing change directories to symlinks there, and try again",
    });
    this.#paths = paths.slice(0, 10).map((path) => path.toString("utf8"));
  }
  override get details(): readonly string[] {
    return this.#paths;
  }
}

/** Most of a program's complaints that is kept, bytes. */
const mostComplaints = 64 * 1024;

/**
 * Copies the repository's files into a VM, as one stream: tar here, tar there.
 *
 * Files may have become unsafe since {@link Repository} was made, while a VM started, so their parents are looked at again. What
 * remains is the moment until tar opens them, by path and through its parents: only who writes in the user's own work tree at that
 * moment can use it.
 * @returns the directory in the guest
 * @throws {@link WorkspaceCopyError}, {@link WorkspaceChangedError}
 */
export async function copyRepository(
  client: ApiClient,
  vm: string,
  { top, name, files }: Repository,
  signal: AbortSignal,
): Promise<string> {
  const { spawn } = await import("node:child_process");
  const target = `/root/${name}`;
  const { outside } = await containPaths(top, files);
  if (outside.length > 0) throw new WorkspaceChangedError(top, outside);
  // Owner root: in the guest there is nobody else. No recursion: the list has every file.
  const tar = spawn(
    "tar",
    [
      ...["--create", "--null", "--verbatim-files-from", "--no-recursion"],
      ...["--owner=root:0", "--group=root:0", `--directory=${top}`],
      // A guest reads its clock in whole seconds at boot; its tar would warn about files of the last second.
      ...["--clamp-mtime", `--mtime=@${Math.floor(Date.now() / 1000) - 2}`],
      "--files-from=-",
    ],
    { stdio: ["pipe", "pipe", "pipe"], signal },
  );
  const complaints = collect(tar.stderr);
  // Node throws a child's unread output away when the child ends, which a small archive does before the guest is reached.
  const archive = tar.stdout.pipe(new PassThrough());
  const ended = new Promise<number>((resolve, reject) => {
    tar.once("error", reject);
    tar.once("close", (code) => {
      resolve(code ?? 1);
    });
  });
  // Awaited below; a tar that is not there must not end the process before that.
  ended.catch(() => undefined);
  tar.stdin.on("error", () => undefined);
  for (const file of files) tar.stdin.write(Buffer.concat([file, zero]));
  tar.stdin.end();
  const output = new PassThrough();
  const guestComplaints = collect(output);
  try {
    const exit = await execInVm(client, {
      vm,
      argv: [
        ...["sh", "-c", 'mkdir -p -- "$1" && exec tar -x -C "$1"'],
        ...["sh", target],
      ],
      stdin: archive,
      stdout: output,
      stderr: output,
      signal,
    });
    const status = exitStatus(exit);
    // A guest that stops reading leaves our tar waiting.
    if (status !== 0) tar.kill();
    const hostStatus = await ended;
    if (status === 0 && hostStatus === 0) return target;
    throw new WorkspaceCopyError(
      top,
      status === 0
        ? `tar ended with status ${hostStatus}`
        : `tar in the guest ended with status ${status}`,
      complaints() + guestComplaints(),
    );
  } finally {
    tar.kill();
  }
}

const zero = Buffer.from([0]);

/** Reads to the end and keeps the beginning. */
function collect(stream: NodeJS.ReadableStream): () => string {
  const chunks: Buffer[] = [];
  let size = 0;
  stream.on("data", (chunk: Buffer) => {
    if (size < mostComplaints) chunks.push(chunk);
    size += chunk.length;
  });
  return () => Buffer.concat(chunks).toString("utf8", 0, mostComplaints);
}
