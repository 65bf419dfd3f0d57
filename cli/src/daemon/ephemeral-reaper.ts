import {
  type OperationRegistry,
  type VmId,
  type VmService,
  type VmStore,
} from "@banger/core";
import { isUnderWay } from "./under-way.js";

/** How long an ephemeral VM waits for its first or next session, ms. */
const graceMs = 15_000;

/**
 * Deletes ephemeral VMs that nobody uses any more: their client was killed before it could. A VM's time begins when its start or its
 * last session ends, and anew while an operation on it is under way: a delete would cancel its start.
 */
export class EphemeralReaper {
  readonly #vmStore: Pick<VmStore, "find">;
  readonly #vmService: Pick<VmService, "delete">;
  readonly #operations: OperationRegistry;
  readonly #sessionsOf: (vmId: VmId) => number;
  readonly #timers = new Map<VmId, NodeJS.Timeout>();
  #closed = false;

  constructor(options: {
    vmStore: Pick<VmStore, "find">;
    vmService: Pick<VmService, "delete">;
    operations: OperationRegistry;
    sessionsOf: (vmId: VmId) => number;
  }) {
    this.#vmStore = options.vmStore;
    this.#vmService = options.vmService;
    this.#operations = options.operations;
    this.#sessionsOf = options.sessionsOf;
  }

  /** A VM was started or adopted, or one of its sessions ended. */
  async consider(vmId: VmId): Promise<void> {
    const vm = await this.#vmStore.find(vmId);
    if (!vm?.spec.ephemeral || vm.state === "error" || this.#closed) return;
    this.#wait(vmId);
  }

  /** For the daemon's end: the next one begins to count anew. */
  close(): void {
    this.#closed = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }

  #wait(vmId: VmId): void {
    clearTimeout(this.#timers.get(vmId));
    const timer = setTimeout(() => void this.#reap(vmId), graceMs);
    this.#timers.set(vmId, timer);
  }

  async #reap(vmId: VmId): Promise<void> {
    this.#timers.delete(vmId);
    if (this.#sessionsOf(vmId) > 0) return;
    const vm = await this.#vmStore.find(vmId);
    // Its owner was quicker.
    if (!vm || this.#closed) return;
    if (isUnderWay(this.#operations, vm)) {
      this.#wait(vmId);
      return;
    }
    await this.#operations
      .run(`delete ${vm.name}, which nobody uses`, { vm: vmId }, (operation) =>
        this.#vmService.delete(vmId, operation),
      )
      // The operation has told the log.
      .catch(() => undefined);
  }
}
