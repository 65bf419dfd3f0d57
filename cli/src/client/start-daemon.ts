import type { ChildProcess } from "node:child_process";
import { ReportedError } from "@banger/core/client";
import type { Paths } from "@banger/host/client";
import type { DaemonControl } from "./api-client.js";
import { DaemonStartError } from "./client-errors.js";
import { parseErrorReportText } from "./error-report.js";

/** Longest wait for the daemon's socket, and for its end, ms. */
const limitMs = 15_000;
const pollMs = 20;
/** What the daemon wrote before is dropped when it is more than this, bytes. */
const mostOutBytes = 1024 * 1024;

export interface DaemonProgram {
  /** what node runs: its flags, the script, its arguments */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Starts `bangerd` and waits for it. */
export class DaemonLauncher implements DaemonControl {
  readonly #paths: Paths;
  readonly #program: DaemonProgram;

  constructor(paths: Paths, program: DaemonProgram) {
    this.#paths = paths;
    this.#program = program;
  }

  /**
   * Idempotent, also for several callers at once: all but one of the daemons find the socket's lock held and end with status 0.
   * @throws {@link DaemonStartError}, or the ReportedError that the daemon printed as its last line
   */
  async start(): Promise<void> {
    const { mkdir, open } = await import("node:fs/promises");
    const path = await import("node:path");
    const { spawn } = await import("node:child_process");
    const outFile = daemonOutFile(this.#paths);
    await mkdir(path.dirname(outFile), { recursive: true, mode: 0o700 });
    const out = await open(outFile, "a", 0o600);
    try {
      if ((await out.stat()).size > mostOutBytes) await out.truncate(0);
      const { size } = await out.stat();
      const { args, env } = this.#program;
      const { home } = this.#paths;
      const child = spawn(process.execPath, args, {
        detached: true,
        stdio: ["ignore", out.fd, out.fd],
        cwd: "/",
        env: { ...env, ...(home === undefined ? {} : { BANGER_HOME: home }) },
      });
      child.unref();
      await this.#untilReady(child, outFile, size);
    } finally {
      await out.close();
    }
  }

  async ended(pid: number): Promise<void> {
    const { setTimeout: sleep } = await import("node:timers/promises");
    const deadline = performance.now() + limitMs;
    while (await isAlive(pid)) {
      if (performance.now() > deadline)
        throw new DaemonStartError(
          `the old one, process ${pid}, does not end`,
          daemonOutFile(this.#paths),
        );
      await sleep(pollMs);
    }
  }

  async #untilReady(
    child: ChildProcess,
    outFile: string,
    from: number,
  ): Promise<void> {
    const { setTimeout: sleep } = await import("node:timers/promises");
    let failure: Error | undefined;
    child.once("error", (error) => {
      failure = error;
    });
    const deadline = performance.now() + limitMs;
    while (!(await answers(this.#paths.daemonSocket))) {
      if (failure) throw new DaemonStartError(failure.message, outFile);
      const { exitCode, signalCode } = child;
      const failed = exitCode !== null ? exitCode !== 0 : signalCode !== null;
      if (failed) {
        const end =
          signalCode === null
            ? `it ended with status ${exitCode ?? 0}`
            : `it was ended by ${signalCode}`;
        throw await explainEnd(end, outFile, from);
      }
      if (performance.now() > deadline)
        throw new DaemonStartError(
          `nothing answers after ${limitMs / 1000} s`,
          outFile,
        );
      await sleep(pollMs);
    }
  }
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

async function answers(socketPath: string): Promise<boolean> {
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
    return new DaemonStartError(end, outFile, lines.slice(-10));
  } finally {
    await file.close();
  }
}
