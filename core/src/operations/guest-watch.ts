import type { VmmDrivers } from "../contracts/vmm.js";
import { describeError } from "../errors.js";
import { forTeardown, type OperationContext } from "../lifecycle/operation.js";
import type { VmHandles, VmId, VmRecord } from "../model/vm.js";
import type { FindVmm } from "./find-vmm.js";
import type { StopVm } from "./stop-vm.js";
import type { VmLocks } from "./vm-locks.js";

/** Watches the VMM processes: a guest may power itself off and a VMM may die. Then the record follows, and everything is cleaned up. */
export class GuestWatch {
  readonly #vmmDrivers: VmmDrivers;
  readonly #vmLocks: VmLocks;
  readonly #findVmm: FindVmm;
  readonly #stopVm: StopVm;
  readonly #watches = new Map<VmId, AbortController>();
  readonly #cleanups = new Set<Promise<void>>();

  constructor(deps: {
    vmmDrivers: VmmDrivers;
    vmLocks: VmLocks;
    findVmm: FindVmm;
    stopVm: StopVm;
  }) {
    this.#vmmDrivers = deps.vmmDrivers;
    this.#vmLocks = deps.vmLocks;
    this.#findVmm = deps.findVmm;
    this.#stopVm = deps.stopVm;
  }

  /** In place of an earlier watch on the same VM. */
  watch(vm: VmRecord, handles: VmHandles, operation: OperationContext): void {
    const { driver } = vm.runtime;
    if (driver === undefined) return;
    this.forget(vm.id);
    const watch = new AbortController();
    this.#watches.set(vm.id, watch);
    const background = forTeardown(operation);
    void this.#vmmDrivers
      .get(driver)
      .waitForExit(handles, watch.signal)
      .then(() => {
        if (watch.signal.aborted) return;
        this.#watches.delete(vm.id);
        const cleanup = this.#cleanUp(vm, background).finally(() => {
          this.#cleanups.delete(cleanup);
        });
        this.#cleanups.add(cleanup);
      });
  }

  /** Before a VM is ended on purpose. Idempotent. */
  forget(id: VmId): void {
    this.#watches.get(id)?.abort();
    this.#watches.delete(id);
  }

  /** Ends the watches and resolves when no cleanup is under way any more; the VMs run on. */
  async close(): Promise<void> {
    for (const id of [...this.#watches.keys()]) this.forget(id);
    await Promise.all(this.#cleanups);
  }

  /** Never rejects. */
  async #cleanUp(vm: VmRecord, operation: OperationContext): Promise<void> {
    operation.logger.info("Guest ended by itself", { vmId: vm.id });
    try {
      await this.#vmLocks.run(vm, operation.signal, async (current) => {
        const wasLeftRunning =
          current.state === "running" || current.state === "error";
        if (!wasLeftRunning || (await this.#findVmm(current))) return;
        await this.#stopVm(current, { force: true }, operation);
      });
    } catch (error) {
      operation.logger.error("Cleaning up after a guest failed", {
        vmId: vm.id,
        reason: describeError(error),
      });
    }
  }
}
