import {
  nodeFlags,
  programFiles,
  systemLayout,
  type Paths,
} from "@banger/host/client";
import type { DaemonControl } from "./api-client.js";
import { DaemonServiceError } from "./client-errors.js";
import {
  answers,
  DaemonLauncher,
  type DaemonProgram,
  type LauncherOptions,
} from "./start-daemon.js";

const pollMs = 20;

/** The daemon of the system install, for a host on which nobody else starts it. */
export const installedDaemon: Pick<DaemonProgram, "node" | "args"> = {
  node: `${systemLayout.currentProgram}/${programFiles.node}`,
  args: [...nodeFlags, `${systemLayout.currentProgram}/${programFiles.daemon}`],
};

/** A daemon that systemd starts, and starts again when it has ended: nothing is to be done here but to wait. */
export class ServiceDaemon implements DaemonControl {
  readonly #paths: Paths;
  readonly #launcher: DaemonLauncher;
  readonly #startLimitMs: number;

  constructor(paths: Paths, options: LauncherOptions = {}) {
    this.#paths = paths;
    this.#launcher = new DaemonLauncher(paths, { args: [], env: {} }, options);
    this.#startLimitMs = options.startLimitMs ?? 5_000;
  }

  /** @throws {@link DaemonServiceError}, or the signal's reason */
  async start(signal?: AbortSignal): Promise<void> {
    const { setTimeout: sleep } = await import("node:timers/promises");
    const { daemonSocket } = this.#paths;
    const deadline = performance.now() + this.#startLimitMs;
    while (!(await answers(daemonSocket))) {
      signal?.throwIfAborted();
      if (performance.now() > deadline)
        throw new DaemonServiceError(daemonSocket);
      await sleep(pollMs);
    }
  }

  /** @throws DaemonStopError, or the signal's reason */
  ended(pid: number, signal?: AbortSignal): Promise<void> {
    return this.#launcher.ended(pid, signal);
  }
}
