import {
  isBangerError,
  type Logger,
  type TouchVm,
  type VmId,
} from "@banger/core";

/**
 * Keeps in a VM's record that it is used, without holding up who uses it. Uses that come while one is being written are written once,
 * after it.
 */
export class UseRecorder {
  readonly #touchVm: TouchVm;
  readonly #logger: Logger;
  /** writing, and whether there is more to write after it */
  readonly #writing = new Map<VmId, { again: boolean; ended: Promise<void> }>();

  constructor(options: { readonly touchVm: TouchVm; readonly logger: Logger }) {
    this.#touchVm = options.touchVm;
    this.#logger = options.logger;
  }

  /** A session began or ended. */
  used(vmId: VmId): void {
    const writing = this.#writing.get(vmId);
    if (writing) writing.again = true;
    else
      this.#writing.set(vmId, {
        again: false,
        ended: new Promise((resolve) => {
          // After what the session itself does in this turn: the store's writes block.
          setImmediate(() => {
            void this.#write(vmId).then(resolve);
          });
        }),
      });
  }

  /** Resolves when everything is written. */
  async close(): Promise<void> {
    await Promise.all([...this.#writing.values()].map(({ ended }) => ended));
  }

  /** Never rejects. */
  async #write(vmId: VmId): Promise<void> {
    const writing = this.#writing.get(vmId);
    do {
      if (writing) writing.again = false;
      try {
        await this.#touchVm({ id: vmId });
      } catch (error) {
        // Many a session ends because its VM is deleted.
        if (!isBangerError(error) || error.kind !== "not-found")
          this.#logger.warn("Use of a VM could not be recorded", {
            vmId,
            error,
          });
      }
    } while (writing?.again === true);
    this.#writing.delete(vmId);
  }
}
