import type { ChildProcess } from "node:child_process";
import { describeError, ReportedError } from "@banger/core/client";
import type { Paths } from "@banger/host/client";
import type { DaemonControl } from "./api-client.js";
import { DaemonStartError, DaemonStopError } from "./client-errors.js";
import { parseErrorReportText } from "./error-report.js";

const pollMs = 20;
/** Waits between two daemons that found the lock held, ms; each costs a start of node. */
const firstPauseMs = 200;
const longestPauseMs = 2000;
/** What the daemon wrote before is dropped when it is more than this, bytes. */
const mostOutBytes = 1024 * 1024;

export interface DaemonProgram {
  /** the Node.js that runs it; default: the one that runs this */
  readonly node?: string;
  /** what node runs: its flags, the script, its arguments */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface LauncherOptions {
  /** told, once, that the end of a daemon takes long */
  readonly onSlowEnd?: (pid: number) => void;
  /** longest wait for the daemon's socket, ms */
  readonly startLimitMs?: number;
  /** longest wait for a daemon's end, ms; it gives its operations 60 s to clean up */
  readonly endLimitMs?: number;
  /** what is a slow end, ms */
  readonly slowEndMs?: number;
}

/** Starts `bangerd` and waits for it. */
export class DaemonLauncher implements DaemonControl {
  readonly #paths: Paths;
  readonly #program: DaemonProgram;
  readonly #options: Required<LauncherOptions>;

  constructor(
    paths: Paths,
    program: DaemonProgram,
    options: LauncherOptions = {},
  ) {
    this.#paths = paths;
    this.#program = program;
    this.#options = {
      onSlowEnd: () => undefined,
      ...{ startLimitMs: 15_000, endLimitMs: 75_000, slowEndMs: 1000 },
      ...options,
    };
  }

  /**
   * Idempotent, also for several callers at once: all but one of the daemons find the lock held and end with status 0.
   * A daemon that is just ending holds it too, and answers no more: then the next one is started, until the time is up.
   * @throws {@link DaemonStartError}, the ReportedError that the daemon printed as its last line, or the signal's reason
   */
  async start(signal?: AbortSignal): Promise<void> {
    const { mkdir, open } = await import("node:fs/promises");
    const path = await import("node:path");
    const outFile = daemonOutFile(this.#paths);
    const directory = path.dirname(outFile);
    const out = await mkdir(directory, { recursive: true, mode: 0o700 })
      .then(() => open(outFile, "a", 0o600))
      .catch((error: unknown) => {
        throw new DaemonStartError(describeError(error), outFile, {
          hint: `Look what is there and who may use it: ls -ld ${directory}`,
        });
      });
    try {
      if ((await out.stat()).size > mostOutBytes) await out.truncate(0);
      const { size } = await out.stat();
      await this.#untilReady(() => this.#spawn(out.fd), outFile, size, signal);
    } finally {
      await out.close();
    }
  }

  /** @throws {@link DaemonStopError}, or the signal's reason */
  async ended(pid: number, signal?: AbortSignal): Promise<void> {
    const { setTimeout: sleep } = await import("node:timers/promises");
    const { endLimitMs, slowEndMs, onSlowEnd } = this.#options;
    const started = performance.now();
    let told = false;
    while (await isAlive(pid)) {
      signal?.throwIfAborted();
      const waited = performance.now() - started;
      if (waited > endLimitMs)
        throw new DaemonStopError(pid, endLimitMs / 1000);
      if (waited > slowEndMs && !told) {
        told = true;
        onSlowEnd(pid);
      }
      await sleep(pollMs);
    }
  }

  async #spawn(out: number): Promise<SpawnedDaemon> {
    const { spawn } = await import("node:child_process");
    const { node = process.execPath, args, env } = this.#program;
    const { home } = this.#paths;
    const child = spawn(node, args, {
      detached: true,
      stdio: ["ignore", out, out],
      cwd: "/",
      env: { ...env, ...(home === undefined ? {} : { BANGER_HOME: home }) },
    });
    child.unref();
    const spawned: SpawnedDaemon = { child };
    child.once("error", (error) => {
      spawned.failure = error;
    });
    return spawned;
  }

  async #untilReady(
    spawn: () => Promise<SpawnedDaemon>,
    outFile: string,
    from: number,
    signal?: AbortSignal,
  ): Promise<void> {
    const { setTimeout: sleep } = await import("node:timers/promises");
    const { startLimitMs } = this.#options;
    const deadline = performance.now() + startLimitMs;
    let pauseMs = firstPauseMs;
    let endedAt: number | undefined;
    let daemon = await spawn();
    while (!(await answers(this.#paths.daemonSocket))) {
      signal?.throwIfAborted();
      const { child, failure } = daemon;
      const { exitCode, signalCode } = child;
      if (failure) throw new DaemonStartError(failure.message, outFile);
      if (signalCode !== null)
        throw await explainEnd(`it was ended by ${signalCode}`, outFile, from);
      if (exitCode !== null && exitCode !== 0)
        throw await explainEnd(
          `it ended with status ${exitCode}`,
          outFile,
          from,
        );
      const now = performance.now();
      if (now > deadline)
        throw new DaemonStartError(
          `nothing answers after ${startLimitMs / 1000} s${exitCode === 0 ? ", and another one holds the lock" : ""}`,
          outFile,
        );
      if (exitCode === 0) endedAt ??= now;
      if (endedAt !== undefined && now - endedAt > pauseMs) {
        endedAt = undefined;
        pauseMs = Math.min(2 * pauseMs, longestPauseMs);
        daemon = await spawn();
      }
      await sleep(pollMs);
    }
  }
}

interface SpawnedDaemon {
  readonly child: ChildProcess;
  /** why there is no process */
  failure?: Error;
}

/** What a person reads while a daemon takes long to end. */
export function slowEndText(pid: number): string {
  return `waiting for the daemon, process ${pid}, to end what it does`;
}

/** Where the daemon's own stdout and stderr go. */
export function daemonOutFile(paths: Paths): string {
  return `${paths.stateDirectory}/logs/bangerd.out`;
}

/** The daemon's log. */
export function daemonLogFile(paths: Paths): string {
  return `${paths.stateDirectory}/logs/bangerd.log`;
}

/** Whether the process is there and not a zombie, which an unreaped child of a container's first process stays. */
async function isAlive(pid: number): Promise<boolean> {
  const { readFile } = await import("node:fs/promises");
  try {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    return !/^ [ZX]/.test(stat.slice(stat.lastIndexOf(")") + 1));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ESRCH") return false;
    throw error;
  }
}

/** Whether somebody listens at a socket. */
export async function answers(socketPath: string): Promise<boolean> {
  const { connect } = await import("node:net");
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => {
      resolve(false);
    });
  });
}

/** The error that the daemon printed last, else its last lines. */
async function explainEnd(
  end: string,
  outFile: string,
  from: number,
): Promise<Error> {
  const { open } = await import("node:fs/promises");
  const file = await open(outFile, "r");
  try {
    const { size } = await file.stat();
    const start = Math.max(from, size - mostOutBytes, 0);
    const buffer = Buffer.alloc(Math.max(0, size - start));
    await file.read(buffer, 0, buffer.length, start);
    const lines = buffer.toString("utf8").split("\n").filter(Boolean);
    for (const line of lines.toReversed()) {
      const report = parseErrorReportText(line);
      // What is wrong is the configuration or the host, not this command line.
      if (report)
        return new ReportedError(
          report.kind === "usage" ? { ...report, kind: "failed" } : report,
        );
    }
    return new DaemonStartError(end, outFile, { lines: lines.slice(-10) });
  } finally {
    await file.close();
  }
}
