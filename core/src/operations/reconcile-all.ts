import type { VmStore } from "../contracts/vm-store.js";
import { describeError } from "../errors.js";
import type { OperationContext } from "../lifecycle/operation.js";
import type { ReconcileReport } from "../model/reconcile-report.js";
import type { VmRecord } from "../model/vm.js";
import type { GuestWatch } from "./guest-watch.js";
import type { Reconciled, ReconcileVm } from "./reconcile.js";
import type { VmLocks } from "./vm-locks.js";

/**
 * Makes all records and the host agree, when a daemon begins; side by side, so that one guest that hangs delays no other. Never
 * rejects.
 */
export type ReconcileAll = (
  operation: OperationContext,
) => Promise<ReconcileReport>;

export function createReconcileAll(deps: {
  vmStore: VmStore;
  vmLocks: VmLocks;
  guestWatch: GuestWatch;
  reconcileVm: ReconcileVm;
}): ReconcileAll {
  const { vmStore, vmLocks, guestWatch, reconcileVm } = deps;

  const reconcile = (
    vm: VmRecord,
    operation: OperationContext,
  ): Promise<Reconciled> =>
    vmLocks.run(vm, operation.signal, async (current) => {
      const reconciled = await reconcileVm(current, operation);
      const { handles } = reconciled;
      if (handles) guestWatch.watch(current, handles, operation);
      return reconciled;
    });

  return async (operation) => {
    const startedAt = new Date().toISOString();
    const began = performance.now();
    const fates = new Map<string, Reconciled["fate"]>();
    const problems: ReconcileReport["problems"][number][] = [];
    const report = (vm: string, error: unknown): void => {
      operation.logger.error("Reconciling failed", { vm, error });
      problems.push({ vm, text: describeError(error) });
    };
    try {
      const vms = await vmStore.list();
      await Promise.all(
        vms.map(async (vm) => {
          try {
            const { fate, problems: lines } = await reconcile(vm, operation);
            fates.set(vm.name, fate);
            problems.push(...lines.map((text) => ({ vm: vm.name, text })));
          } catch (error) {
            report(vm.name, error);
          }
        }),
      );
    } catch (error) {
      report("all", error);
    }
    const named = (fate: Reconciled["fate"]): readonly string[] =>
      [...fates].flatMap(([name, its]) => (its === fate ? [name] : [])).sort();
    return {
      startedAt,
      durationMs: Math.round(performance.now() - began),
      adopted: named("adopted"),
      cleaned: named("cleaned"),
      removed: named("removed"),
      problems,
    };
  };
}
