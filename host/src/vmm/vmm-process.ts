import { spawn } from "node:child_process";
import { constants } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { orDiskFull } from "../files/disk-full.js";
import { hasErrorCode } from "../files/error-code.js";
import { descriptorPath } from "../files/open-path.js";
import { withOwnedFile } from "../files/owned-file.js";
import {
  identifyProcess,
  isAlive,
  type ProcessIdentity,
} from "./process-identity.js";

/** Longest wait for a killed process to be gone, ms. */
const endLimitMs = 10_000;

/** How much of a log's end is read for an error, bytes. */
const tailBytes = 64 * 1024;

/** Becomes the program: new files of a VMM are its user's own, and this process keeps its umask. */
const privately = ["-c", 'umask 077; exec "$0" "$@"'] as const;

/** A VMM to start. */
export interface VmmCommand {
  /** absolute */
  readonly program: string;
  readonly args: readonly string[];
  /** files that its output is appended to, so that emptying them later is safe */
  readonly stdout: string;
  readonly stderr: string;
  /** let the files that it makes be readable by its user only */
  readonly umask?: "077";
  /** users whose the output files must be, which then must be there: whoever runs this program must not write to files of others */
  readonly outputOwners?: readonly number[];
}

/** A VMM process that was started. */
export interface StartedVmm {
  readonly identity: ProcessIdentity;
  /** rejects when it could not be executed after all; otherwise never settles */
  readonly failed: Promise<never>;
}

/**
 * Starts a process that outlives this one, as leader of a session of its own.
 * @throws the system's own error when it cannot be executed, Error when it ended at once
 */
export async function startVmm(command: VmmCommand): Promise<StartedVmm> {
  const openOutput = (path: string): Promise<FileHandle> =>
    command.outputOwners === undefined
      ? openLog(path)
      : openLogOf(path, command.outputOwners);
  const stdout = await openOutput(command.stdout);
  let child;
  let failed: Promise<never>;
  try {
    const stderr = await openOutput(command.stderr);
    try {
      child = spawn(...invocationOf(command), {
        detached: true,
        stdio: ["ignore", stdout.fd, stderr.fd],
        cwd: "/",
      });
      const spawned = child;
      // Before anything is awaited: an `error` that nobody listens to would end the daemon.
      failed = new Promise<never>((_, reject) => {
        spawned.once("error", reject);
      });
      failed.catch(() => undefined);
    } finally {
      await stderr.close();
    }
  } finally {
    await stdout.close();
  }
  child.unref();
  const { pid } = child;
  if (pid === undefined) return failed;
  const identity = await identifyProcess(pid).catch((error: unknown) => {
    // Nobody else knows of it.
    child.kill("SIGKILL");
    throw error;
  });
  if (!identity) throw new Error("it ended at once");
  return { identity, failed };
}

function invocationOf({
  program,
  args,
  umask,
}: VmmCommand): [file: string, args: readonly string[]] {
  return umask === undefined
    ? [program, args]
    : ["/bin/sh", [...privately, program, ...args]];
}

/**
 * Makes a file of one run empty, readable by its owner only. Idempotent.
 * @throws DiskFullError
 */
export async function beginLog(path: string): Promise<void> {
  await orDiskFull(`beginning ${path}`, async () => {
    const file = await openLog(path, constants.O_TRUNC);
    await file.close();
  });
}

function openLog(path: string, flags = 0): Promise<FileHandle> {
  const { O_WRONLY, O_CREAT, O_APPEND, O_NOFOLLOW } = constants;
  const all = O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | flags;
  return open(path, all, 0o600);
}

/** @throws ForeignFileError; the system's own errors */
async function openLogOf(
  path: string,
  owners: readonly number[],
): Promise<FileHandle> {
  const { O_WRONLY, O_APPEND } = constants;
  // By what was looked at: the path may lead elsewhere by now.
  return withOwnedFile(path, owners, (file) =>
    open(descriptorPath(file), O_WRONLY | O_APPEND),
  );
}

/** SIGKILL, and wait until it is gone: a VMM holds its disks and sockets until then. */
export async function endVmm(identity: ProcessIdentity): Promise<void> {
  const deadline = performance.now() + endLimitMs;
  while (await isAlive(identity)) {
    sendSignal(identity, "SIGKILL");
    if (performance.now() > deadline)
      throw new Error(`process ${String(identity.pid)} does not end`);
    await sleep(5);
  }
}

/**
 * The caller has just looked whether it is the process that is meant.
 * @throws Error for a process that no VMM can be: whoever looked is wrong, and as root that would take the host down
 */
export function sendSignal(
  { pid }: ProcessIdentity,
  signal: NodeJS.Signals,
): void {
  if (pid <= 1 || pid === process.pid || pid === process.ppid)
    throw new Error(`process ${String(pid)} is no VMM`);
  try {
    process.kill(pid, signal);
  } catch (error) {
    // It ended since it was looked at.
    if (!hasErrorCode(error, "ESRCH")) throw error;
  }
}

/**
 * How long to wait between two looks whether a VMM still runs, ms: stops are waited for and take seconds, running VMs must cost an idle
 * daemon little. Pure.
 */
export function exitPauseMs(waitedMs: number): number {
  return waitedMs < 10_000 ? 100 : 500;
}

/** Resolves when the process has ended, and early on abort. */
export async function waitForEnd(
  identity: ProcessIdentity,
  signal: AbortSignal,
): Promise<void> {
  const began = performance.now();
  while (!signal.aborted && (await isAlive(identity))) {
    const pause = exitPauseMs(performance.now() - began);
    await sleep(pause, undefined, { signal, ref: false }).catch(
      () => undefined,
    );
  }
}

/** The last lines of a VMM's log that are not empty, without control characters; none when there is no such file. */
export async function lastLines(
  path: string,
  count: number,
): Promise<readonly string[]> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  const file = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK).catch(
    (error: unknown) => {
      if (hasErrorCode(error, "ENOENT")) return undefined;
      throw error;
    },
  );
  if (!file) return [];
  try {
    const { size } = await file.stat();
    const buffer = Buffer.alloc(Math.min(size, tailBytes));
    const { bytesRead } = await file.read({
      buffer,
      position: size - buffer.length,
    });
    return buffer
      .toString("utf8", 0, bytesRead)
      .split("\n")
      .map((line) => line.replaceAll(/\p{C}/gu, ""))
      .filter((line) => line.trim() !== "")
      .slice(-count);
  } finally {
    await file.close();
  }
}
