import { stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import type { Logger, VmStore } from "@banger/core";
import { hasErrorCode } from "./error-code.js";
import { vmFileNames } from "./vm-files.js";

/** A guest may write to its console as fast as it likes: above this its log is emptied, bytes. */
const mostLogBytes = 16 * 1024 * 1024;
const intervalMs = 30_000;

/** Keeps the logs of running VMs from filling the host's disk. Their writers append, so emptying a file is safe at any time. */
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

  /** Looks at every VM once. */
  async check(): Promise<void> {
    for (const vm of await this.#vmStore.list()) {
      for (const name of [vmFileNames.consoleLog, vmFileNames.vmmLog]) {
        const path = join(vm.runtime.directory, name);
        if ((await sizeOf(path)) <= mostLogBytes) continue;
        await truncate(path, 0);
        this.#logger.warn(
          "A log of a VM was emptied because it grew too large",
          {
            vmId: vm.id,
            path,
          },
        );
      }
    }
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (hasErrorCode(error, "ENOENT")) return 0;
    throw error;
  }
}
