import type { VmStore } from "../contracts/vm-store.js";
import { VmGoneError } from "../contracts/vm-store.js";
import type { VmmSignal } from "../contracts/vmm.js";
import { isBangerError } from "../errors.js";
import type { OperationContext } from "../lifecycle/operation.js";
import type { ReconcileReport } from "../model/reconcile-report.js";
import { resolveVm } from "../model/vm-reference.js";
import type { VmId, VmRecord } from "../model/vm.js";
import { newVmId, type CreateVm } from "./create-vm.js";
import type { DeleteVm } from "./delete-vm.js";
import { findAlive, type FindVmm } from "./find-vmm.js";
import type { GuestWatch } from "./guest-watch.js";
import type { KillVm } from "./kill-vm.js";
import type { LaunchVm } from "./launch-vm.js";
import { VmStateError } from "./operation-errors.js";
import type { PruneVms } from "./prune-vms.js";
import type { ReconcileAll } from "./reconcile-all.js";
import type { ReconfigureVm, SpecChange } from "./reconfigure-vm.js";
import type { VmRequest } from "./resolve-spec.js";
import type { RestartVm } from "./restart-vm.js";
import type { StartsUnderWay } from "./starts-under-way.js";
import type { StopOptions, StopVm } from "./stop-vm.js";
import type { TouchVm } from "./touch-vm.js";
import type { VmLocks } from "./vm-locks.js";

export interface VmServiceDeps {
  readonly vmStore: VmStore;
  readonly vmLocks: VmLocks;
  readonly startsUnderWay: StartsUnderWay;
  readonly guestWatch: GuestWatch;
  readonly findVmm: FindVmm;
  readonly createVm: CreateVm;
  readonly launchVm: LaunchVm;
  readonly restartVm: RestartVm;
  readonly stopVm: StopVm;
  readonly killVm: KillVm;
  readonly deleteVm: DeleteVm;
  readonly pruneVms: PruneVms;
  readonly touchVm: TouchVm;
  readonly reconfigureVm: ReconfigureVm;
  readonly reconcileAll: ReconcileAll;
}

/** The operations on VMs as callers have them: by reference, one at a time for each VM, on the record as it is under the lock. */
export class VmService {
  readonly #deps: VmServiceDeps;

  constructor(deps: VmServiceDeps) {
    const { vmStore, vmLocks, startsUnderWay, guestWatch, findVmm } = deps;
    const { createVm, launchVm, restartVm, stopVm, killVm, deleteVm } = deps;
    const { pruneVms, touchVm, reconfigureVm, reconcileAll } = deps;
    this.#deps = {
      ...{ vmStore, vmLocks, startsUnderWay, guestWatch, findVmm },
      ...{ createVm, launchVm, restartVm, stopVm, killVm, deleteVm },
      ...{ pruneVms, touchVm, reconfigureVm, reconcileAll },
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
    const { createVm } = this.#deps;
    return createVm(request, operation, { id: newVmId(), provisional: false });
  }

  /** Creates and starts. A VM whose first start fails before its VMM ran, or is cancelled, leaves nothing. */
  launch(request: VmRequest, operation: OperationContext): Promise<VmRecord> {
    const { startsUnderWay, launchVm } = this.#deps;
    const id = newVmId();
    return startsUnderWay.run(id, operation, (start) =>
      launchVm(id, request, start),
    );
  }

  /** Starting a running VM is fine. */
  start(reference: string, operation: OperationContext): Promise<VmRecord> {
    return this.#starting(reference, operation, async (vm, start) => {
      const { findVmm, restartVm } = this.#deps;
      return (await findAlive(findVmm, vm)) ? vm : restartVm(vm, start);
    });
  }

  /** Stops and starts under one lock; a VM that does not run is started. */
  restart(reference: string, operation: OperationContext): Promise<VmRecord> {
    return this.#starting(reference, operation, this.#deps.restartVm);
  }

  /**
   * Ends a start that is under way, too.
   * @throws VmGoneError when that start was the VM's first, which leaves nothing
   */
  stop(
    reference: string,
    options: StopOptions,
    operation: OperationContext,
  ): Promise<VmRecord> {
    return this.#ending(reference, operation, {
      by: "stop",
      work: (vm) => this.#deps.stopVm(vm, options, operation),
      gone: ({ name, runtime }) => {
        const why = "its first start was cancelled, which leaves nothing";
        throw new VmGoneError(name, runtime.provisional ? why : undefined);
      },
    });
  }

  /** Ends a start that is under way, too; one that leaves nothing then is as good as killed. */
  kill(
    reference: string,
    signal: VmmSignal,
    operation: OperationContext,
  ): Promise<VmRecord> {
    return this.#ending(reference, operation, {
      by: "kill",
      work: (vm) => this.#deps.killVm(vm, signal, operation),
      gone: (known) => known,
    });
  }

  /** Ends a start that is under way, too. @returns the record as it was */
  delete(reference: string, operation: OperationContext): Promise<VmRecord> {
    return this.#ending(reference, operation, {
      by: "delete",
      work: async (vm) => {
        await this.#deps.deleteVm(vm, operation);
        return vm;
      },
      gone: (known) => known,
    });
  }

  /** Deletes those of the given VMs that nobody uses. @see PruneVms */
  prune(
    ids: readonly VmId[],
    operation: OperationContext,
  ): Promise<readonly VmRecord[]> {
    return this.#deps.pruneVms(ids, operation);
  }

  /** Notes that the VM is used now. Does not wait for operations on it. */
  async touch(reference: string): Promise<VmRecord> {
    return this.#deps.touchVm(await this.get(reference));
  }

  async reconfigure(
    reference: string,
    change: SpecChange,
    operation: OperationContext,
  ): Promise<VmRecord> {
    const { vmLocks, reconfigureVm } = this.#deps;
    return vmLocks.run(await this.get(reference), operation.signal, (vm) =>
      reconfigureVm(vm, change, operation),
    );
  }

  /** Once, when the daemon begins. Never rejects: what goes wrong with one VM is in the report and touches no other. */
  reconcile(operation: OperationContext): Promise<ReconcileReport> {
    return this.#deps.reconcileAll(operation);
  }

  /** Stops watching and waits for cleanups that are under way; the VMs run on. */
  close(): Promise<void> {
    return this.#deps.guestWatch.close();
  }

  async #starting(
    reference: string,
    operation: OperationContext,
    work: (vm: VmRecord, start: OperationContext) => Promise<VmRecord>,
  ): Promise<VmRecord> {
    const { vmLocks, startsUnderWay } = this.#deps;
    const known = await this.get(reference);
    return startsUnderWay.run(known.id, operation, (start) =>
      vmLocks.run(known, start.signal, (vm) => work(vm, start)),
    );
  }

  /** Who ends a VM does not want it to come up: a start is cancelled and cleans up, and then comes the work, under the lock as ever. */
  async #ending(
    reference: string,
    operation: OperationContext,
    { by, work, gone }: Ending,
  ): Promise<VmRecord> {
    const { vmLocks, startsUnderWay, guestWatch } = this.#deps;
    const known = await this.get(reference);
    const cancelled = await startsUnderWay.cancel(known, by, operation);
    try {
      return await vmLocks.run(known, operation.signal, (vm) =>
        guestWatch.suspend(vm.id, () => work(vm)),
      );
    } catch (error) {
      const isGone = isBangerError(error) && error.code === "ERR_VM_NOT_FOUND";
      if (cancelled && isGone) return gone(known);
      throw error;
    }
  }
}

interface Ending {
  /** what cancels a start */
  readonly by: string;
  readonly work: (vm: VmRecord) => Promise<VmRecord>;
  /** what comes of a VM that the cancelled start took with it, from its last known record */
  readonly gone: (known: VmRecord) => VmRecord;
}
