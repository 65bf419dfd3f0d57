import { stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import type { Logger, VmRecord, VmStore } from "@banger/core";
import { hasErrorCode } from "./error-code.js";
import { vmFileNames } from "./vm-files.js";

/** A guest may write to its console as fast as it likes: above this its log is emptied, bytes. */
const mostLogBytes = 16 * 1024 * 1024;
const intervalMs = 5_000;

/**
 * Keeps the logs of running VMs from filling the host's disk. Their writers append, so emptying a file is safe at any time. QEMU writes
 * the console's log by itself: while no daemon runs, nobody limits it.
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
      for (const name of [vmFileNames.consoleLog, vmFileNames.vmmLog]) {
        await this.#limit(vm, join(vm.runtime.directory, name));
      }
    }
  }

  /** What is wrong with one log must not let another one grow. */
  async #limit(vm: VmRecord, path: string): Promise<void> {
    const context = { vmId: vm.id, path };
    try {
      if ((await stat(path)).size <= mostLogBytes) return;
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
