import {
  beginOperation,
  describeError,
  isBangerError,
  type Logger,
  type VmId,
  type VmRecord,
  type VmService,
} from "@banger/core";

/** How long an ephemeral VM waits for its first or next session, ms. */
const graceMs = 15_000;

/**
 * Deletes ephemeral VMs that nobody uses any more: their client was killed before it could. A VM's time begins when its start or its
 * last session ends.
 */
export class EphemeralReaper {
  readonly #vmService: VmService;
  readonly #logger: Logger;
  readonly #sessionsOf: (vmId: VmId) => number;
  readonly #timers = new Map<VmId, NodeJS.Timeout>();
  #closed = false;

  constructor(options: {
    vmService: VmService;
    logger: Logger;
    sessionsOf: (vmId: VmId) => number;
  }) {
    this.#vmService = options.vmService;
    this.#logger = options.logger;
    this.#sessionsOf = options.sessionsOf;
  }

  /** A VM was started or adopted, or one of its sessions ended. */
  async consider(vmId: VmId): Promise<void> {
    const vm = await this.#find(vmId);
    if (!vm?.spec.ephemeral || vm.state === "error" || this.#closed) return;
    clearTimeout(this.#timers.get(vmId));
    const timer = setTimeout(() => void this.#reap(vmId), graceMs);
    this.#timers.set(vmId, timer);
  }

  /** For the daemon's end: the next one begins to count anew. */
  close(): void {
    this.#closed = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }

  async #reap(vmId: VmId): Promise<void> {
    this.#timers.delete(vmId);
    if (this.#sessionsOf(vmId) > 0) return;
    const operation = beginOperation({
      logger: this.#logger,
      signal: new AbortController().signal,
    });
    try {
      if (!(await this.#find(vmId))) return;
      operation.logger.info("Ephemeral VM is deleted: nobody uses it", {
        vmId,
      });
      await this.#vmService.delete(vmId, operation);
    } catch (error) {
      // Its owner was quicker.
      if (isBangerError(error) && error.kind === "not-found") return;
      operation.logger.error("Ephemeral VM could not be deleted", {
        vmId,
        reason: describeError(error),
      });
    }
  }

  async #find(vmId: VmId): Promise<VmRecord | undefined> {
    return (await this.#vmService.list()).find((vm) => vm.id === vmId);
  }
}
