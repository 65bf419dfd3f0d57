import type { VmmDrivers } from "../contracts/vmm.js";
import { describeError, isBangerError } from "../errors.js";
import { forTeardown, type OperationContext } from "../lifecycle/operation.js";
import { TimelineRecorder } from "../model/timeline.js";
import type { VmHandles, VmId, VmRecord } from "../model/vm.js";
import type { FindVmm } from "./find-vmm.js";
import { isMeantToRun } from "./meant-to-run.js";
import type { StopVm } from "./stop-vm.js";
import type { VmLocks } from "./vm-locks.js";

interface Watch {
  readonly vm: VmRecord;
  readonly handles: VmHandles;
  readonly operation: OperationContext;
  readonly end: AbortController;
}

/** Watches the VMM processes: a guest may power itself off and a VMM may die. Then the record follows, and everything is cleaned up. */
export class GuestWatch {
  readonly #vmmDrivers: VmmDrivers;
  readonly #vmLocks: VmLocks;
  readonly #findVmm: FindVmm;
  readonly #stopVm: StopVm;
  readonly #watches = new Map<VmId, Watch>();
  readonly #cleanups = new Set<Promise<void>>();
  #isClosed = false;

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
    if (driver === undefined || this.#isClosed) return;
    this.#forget(vm.id);
    const end = new AbortController();
    this.#watches.set(vm.id, { vm, handles, operation, end });
    // That operation has ended by then: nobody hears what it says, and its timeline is complete.
    const background: OperationContext = {
      ...forTeardown(operation),
      progress: () => undefined,
      timeline: new TimelineRecorder(),
    };
    void this.#vmmDrivers
      .get(driver)
      .waitForExit(handles, end.signal)
      .then(() => {
        if (end.signal.aborted) return;
        this.#watches.delete(vm.id);
        const cleanup = this.#cleanUp(vm, background).finally(() => {
          this.#cleanups.delete(cleanup);
        });
        this.#cleanups.add(cleanup);
      });
  }

  /** Runs what ends a VM on purpose, unwatched. When that fails the VM is watched on: it may still run. */
  async suspend<T>(id: VmId, work: () => Promise<T>): Promise<T> {
    const watch = this.#watches.get(id);
    this.#forget(id);
    try {
      return await work();
    } catch (error) {
      if (watch) this.watch(watch.vm, watch.handles, watch.operation);
      throw error;
    }
  }

  /** Ends the watches and resolves when no cleanup is under way any more; the VMs run on. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const id of [...this.#watches.keys()]) this.#forget(id);
    await Promise.all(this.#cleanups);
  }

  #forget(id: VmId): void {
    this.#watches.get(id)?.end.abort();
    this.#watches.delete(id);
  }

  /** Never rejects. */
  async #cleanUp(vm: VmRecord, operation: OperationContext): Promise<void> {
    try {
      await this.#vmLocks.run(vm, operation.signal, async (current) => {
        if (!isMeantToRun(current) || (await this.#findVmm(current))) return;
        operation.logger.info("Guest ended by itself", { vmId: vm.id });
        await this.#stopVm(current, { force: true }, operation);
      });
    } catch (error) {
      // Its owner deleted it meanwhile.
      if (isBangerError(error) && error.code === "ERR_VM_NOT_FOUND") return;
      operation.logger.error("Cleaning up after a guest failed", {
        vmId: vm.id,
        reason: describeError(error),
      });
    }
  }
}
