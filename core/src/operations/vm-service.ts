import type { HandleStore } from "../contracts/handle-store.js";
import type { VmStore } from "../contracts/vm-store.js";
import type { VmmDrivers } from "../contracts/vmm.js";
import { describeError } from "../errors.js";
import { KeyedLock } from "../lifecycle/keyed-lock.js";
import { forTeardown, type OperationContext } from "../lifecycle/operation.js";
import { resolveVm, VmNotFoundError } from "../model/vm-reference.js";
import type { VmHandles, VmId, VmRecord } from "../model/vm.js";
import type { CreateVm } from "./create-vm.js";
import type { DeleteVm } from "./delete-vm.js";
import { VmStateError } from "./operation-errors.js";
import type { ReconcileVm } from "./reconcile.js";
import type { ReconfigureVm, SpecChange } from "./reconfigure-vm.js";
import type { VmRequest } from "./resolve-spec.js";
import type { StartVm } from "./start-vm.js";
import type { StopOptions, StopVm } from "./stop-vm.js";

export interface VmServiceDeps {
  readonly vmStore: VmStore;
  readonly handleStore: HandleStore;
  readonly vmmDrivers: VmmDrivers;
  readonly createVm: CreateVm;
  readonly startVm: StartVm;
  readonly stopVm: StopVm;
  readonly deleteVm: DeleteVm;
  readonly reconfigureVm: ReconfigureVm;
  readonly reconcileVm: ReconcileVm;
}

/** The operations on VMs as callers have them: by reference, one at a time for each VM, on the record as it is under the lock. */
export class VmService {
  readonly #deps: VmServiceDeps;
  readonly #locks = new KeyedLock();
  readonly #watches = new Map<VmId, AbortController>();

  constructor(deps: VmServiceDeps) {
    const { vmStore, handleStore, vmmDrivers, createVm, startVm, stopVm } =
      deps;
    const { deleteVm, reconfigureVm, reconcileVm } = deps;
    this.#deps = {
      vmStore,
      handleStore,
      vmmDrivers,
      createVm,
      startVm,
      stopVm,
      deleteVm,
      reconfigureVm,
      reconcileVm,
    };
  }

  list(): Promise<readonly VmRecord[]> {
    return this.#deps.vmStore.list();
  }

  /** @throws VmNotFoundError, VmAmbiguousError */
  async get(reference: string): Promise<VmRecord> {
    return resolveVm(reference, await this.list());
  }

  /** @throws VmStateError when the VM is not running */
  async getRunning(reference: string): Promise<VmRecord> {
    const vm = await this.get(reference);
    if (vm.state === "running") return vm;
    throw new VmStateError(
      `${vm.name} is not running; its state is ${vm.state}`,
      {
        hint: `Start it: banger vm start ${vm.name}`,
      },
    );
  }

  create(request: VmRequest, operation: OperationContext): Promise<VmRecord> {
    return this.#deps.createVm(request, operation, "kept");
  }

  /** Creates and starts. A VM whose first start fails before its VMM ran, or is cancelled, leaves nothing. */
  async launch(
    request: VmRequest,
    operation: OperationContext,
  ): Promise<VmRecord> {
    const vm = await this.#deps.createVm(request, operation, "provisional");
    try {
      return await this.start(vm.id, operation);
    } catch (error) {
      await this.#discard(vm.id, operation);
      throw error;
    }
  }

  /** Starting a running VM is fine. */
  start(reference: string, operation: OperationContext): Promise<VmRecord> {
    return this.#locked(reference, operation, async (vm) => {
      const alive = await this.#find(vm);
      if (vm.state === "running" && alive) return vm;
      // What runs in another state was given up on: a second VMM would share its disk.
      const ready =
        vm.state === "running" || alive
          ? await this.#deps.stopVm(vm, { force: true }, operation)
          : vm;
      const started = await this.#deps.startVm(ready, operation);
      await this.#watch(started, operation);
      return started;
    });
  }

  stop(
    reference: string,
    options: StopOptions,
    operation: OperationContext,
  ): Promise<VmRecord> {
    return this.#locked(reference, operation, (vm) => {
      this.#unwatch(vm.id);
      return this.#deps.stopVm(vm, options, operation);
    });
  }

  async delete(
    reference: string,
    operation: OperationContext,
  ): Promise<VmRecord> {
    return this.#locked(reference, operation, async (vm) => {
      this.#unwatch(vm.id);
      await this.#deps.deleteVm(vm, operation);
      return vm;
    });
  }

  reconfigure(
    reference: string,
    change: SpecChange,
    operation: OperationContext,
  ): Promise<VmRecord> {
    return this.#locked(reference, operation, (vm) =>
      this.#deps.reconfigureVm(vm, change, operation),
    );
  }

  /** Once, when the daemon begins. Never rejects: what goes wrong with one VM is logged and touches no other. */
  async reconcile(operation: OperationContext): Promise<void> {
    await Promise.all(
      (await this.list()).map((vm) =>
        this.#locked(vm.id, operation, async (current) => {
          const handles = await this.#deps.reconcileVm(current, operation);
          if (handles) this.#watchProcess(current, handles, operation);
        }).catch((error: unknown) => {
          operation.logger.error("VM could not be reconciled", {
            vmId: vm.id,
            error,
          });
        }),
      ),
    );
  }

  /** Stops watching; the VMs run on. */
  close(): void {
    for (const id of [...this.#watches.keys()]) this.#unwatch(id);
  }

  async #discard(id: VmId, operation: OperationContext): Promise<void> {
    const teardown = forTeardown(operation);
    await this.#locked(id, teardown, async (vm) => {
      if (vm.runtime.provisional) await this.#deps.deleteVm(vm, teardown);
    }).catch((error: unknown) => {
      operation.logger.error("VM of a failed start could not be removed", {
        vmId: id,
        error,
      });
    });
  }

  async #locked<T>(
    reference: string,
    operation: OperationContext,
    work: (vm: VmRecord) => Promise<T>,
  ): Promise<T> {
    const { id, name } = await this.get(reference);
    return this.#locks.run(id, operation.signal, async () => {
      const vm = await this.#deps.vmStore.find(id);
      if (!vm) throw new VmNotFoundError(name, []);
      return work(vm);
    });
  }

  async #find(vm: VmRecord): Promise<VmHandles | undefined> {
    const { driver } = vm.runtime;
    if (driver === undefined) return undefined;
    return this.#deps.vmmDrivers
      .get(driver)
      .find(vm, await this.#deps.handleStore.read(vm));
  }

  async #watch(vm: VmRecord, operation: OperationContext): Promise<void> {
    const handles = await this.#deps.handleStore.read(vm);
    if (handles) this.#watchProcess(vm, handles, operation);
  }

  /** A guest may power itself off and a VMM may die: then the record follows, and everything is cleaned up. */
  #watchProcess(
    vm: VmRecord,
    handles: VmHandles,
    operation: OperationContext,
  ): void {
    const { driver } = vm.runtime;
    if (driver === undefined) return;
    this.#unwatch(vm.id);
    const watch = new AbortController();
    this.#watches.set(vm.id, watch);
    const background = forTeardown(operation);
    void this.#deps.vmmDrivers
      .get(driver)
      .waitForExit(handles, watch.signal)
      .then(async () => {
        if (watch.signal.aborted) return;
        background.logger.info("Guest ended by itself", { vmId: vm.id });
        await this.#locked(vm.id, background, async (current) => {
          if (current.state !== "running" || (await this.#find(current)))
            return;
          await this.#deps.stopVm(current, { force: true }, background);
        });
      })
      .catch((error: unknown) => {
        background.logger.error("Cleaning up after a guest failed", {
          vmId: vm.id,
          reason: describeError(error),
        });
      });
  }

  #unwatch(id: VmId): void {
    this.#watches.get(id)?.abort();
    this.#watches.delete(id);
  }
}
