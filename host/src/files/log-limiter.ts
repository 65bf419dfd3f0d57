import { stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import type { Logger, VmRecord, VmStore } from "@banger/core";
import { hasErrorCode } from "./error-code.js";
import { vmFileNames } from "./vm-files.js";

/** A guest may write to its console as fast as it likes: above this its log is emptied, bytes. */
const mostLogBytes = 16 * 1024 * 1024;
const intervalMs = 5_000;
/** the blocks that stat(2) counts are of this size on every file system, bytes: stat(2), st_blocks */
const blockBytes = 512;

const logNames = [
  vmFileNames.consoleLog,
  vmFileNames.vmmLog,
  vmFileNames.firecrackerLog,
  vmFileNames.firecrackerMetrics,
];

/**
 * Keeps the logs of running VMs from filling the host's disk. Emptying a file is safe at any time: its writer appends, or
 * leaves a hole. A VMM writes its logs by itself: while no daemon runs, nobody limits them.
 */
export class LogLimiter {
  readonly #vmStore: VmStore;
  readonly #logger: Logger;
  #timer: NodeJS.Timeout | undefined;

  constructor({
    vmStore,
    logger,
  }: {
    readonly vmStore: VmStore;
    readonly logger: Logger;
  }) {
    this.#vmStore = vmStore;
    this.#logger = logger;
  }

  start(): void {
    this.#timer ??= setInterval(() => {
      this.check().catch((error: unknown) => {
        this.#logger.error("Logs of VMs could not be checked", { error });
      });
    }, intervalMs).unref();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Looks once at every VM that may have a VMM. */
  async check(): Promise<void> {
    for (const vm of await this.#vmStore.list()) {
      if (vm.state !== "running" && vm.runtime.prepared !== true) continue;
      for (const name of logNames)
        await this.#limit(vm, join(vm.runtime.directory, name));
    }
  }

  /** What is wrong with one log must not let another one grow. */
  async #limit(vm: VmRecord, path: string): Promise<void> {
    const context = { vmId: vm.id, path };
    try {
      const { size, blocks } = await stat(path);
      // Firecracker goes on writing where it was: an emptied log of its has a hole at its start.
      if (Math.min(size, blocks * blockBytes) <= mostLogBytes) return;
      await truncate(path, 0);
      const what = "A log of a VM was emptied because it grew too large";
      this.#logger.warn(what, context);
    } catch (error) {
      // Never started, or deleted between two looks.
      if (hasErrorCode(error, "ENOENT")) return;
      const what = "A log of a VM could not be looked at";
      this.#logger.error(what, { ...context, error });
    }
  }
}
