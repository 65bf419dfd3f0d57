import type { HandleStore } from "../contracts/handle-store.js";
import type { VmFiles } from "../contracts/vm-files.js";
import type { VmStore } from "../contracts/vm-store.js";
import { describeError, isBangerError } from "../errors.js";
import {
  throwIfCancelled,
  type OperationContext,
} from "../lifecycle/operation.js";
import { withinLimit } from "../lifecycle/waiting.js";
import type { VmHandles, VmRecord, VmState } from "../model/vm.js";
import type { AdoptVm } from "./adopt-vm.js";
import type { DeleteVm } from "./delete-vm.js";
import type { FindVmm } from "./find-vmm.js";
import { isMeantToRun } from "./meant-to-run.js";
import type { RevertChange } from "./revert-change.js";
import { withoutFaults, withoutProblems } from "./runtime-marks.js";
import type { OperationSettings } from "./settings.js";
import type { TearDownVm } from "./tear-down-vm.js";

/** How long a call may take to end after the VM's time is up, ms; then the VM is given up on. */
const graceMs = 1_000;

const noHandles =
  "handles.json was missing; the VM was looked up by its record";

/** What became of one VM. */
export interface Reconciled {
  /** `unsettled`: it could not be looked at to the end, and is in state `error` with its problems; `unchanged`: nothing was to do */
  readonly fate: "adopted" | "cleaned" | "removed" | "unchanged" | "unsettled";
  /** what was wrong, a line each, also what is put right */
  readonly problems: readonly string[];
  /** its VMM, when it runs on */
  readonly handles?: VmHandles;
}

/**
 * Makes one record and the host agree, when a daemon begins: a live VM is adopted and published again, the remains of a dead or
 * half-started one are removed, a deletion that was begun is finished, a change that was begun is taken back. Takes no longer than
 * the configured limit and a grace. What is still wrong is in the record's problems, as far as that can be written. The caller holds the
 * VM's lock.
 * @throws CancelledError
 */
export type ReconcileVm = (
  vm: VmRecord,
  operation: OperationContext,
) => Promise<Reconciled>;

/** What is known so far; read also when the rest is given up on. */
interface Findings {
  readonly problems: string[];
  /** those of them that are put right by now: the report says them, the record does not */
  readonly repaired: Set<string>;
  /** the VMM that is left running */
  handles?: VmHandles;
  /** its remains are being removed: what is left of them is no live VM */
  isEnding?: true;
}

/** What the record is to say. */
interface Settled {
  readonly fate: Reconciled["fate"];
  readonly state: VmState;
  /** what a cleanup left behind; the VM is not to be taken for a live one */
  readonly lastError?: string;
}

export function createReconcileVm(deps: {
  vmStore: VmStore;
  handleStore: HandleStore;
  vmFiles: VmFiles;
  findVmm: FindVmm;
  adoptVm: AdoptVm;
  deleteVm: DeleteVm;
  revertChange: RevertChange;
  tearDownVm: TearDownVm;
  settings: OperationSettings;
}): ReconcileVm {
  const { vmStore, handleStore, vmFiles, findVmm, settings } = deps;
  const { adoptVm, deleteVm, revertChange, tearDownVm } = deps;

  const adopt = async (
    vm: VmRecord,
    handles: VmHandles,
    findings: Findings,
    operation: OperationContext,
  ): Promise<Settled> => {
    findings.handles = handles;
    const { problems } = findings;
    const reachable = await adoptVm(vm, handles, problems, operation);
    operation.logger.info("VM adopted", { vmId: vm.id, reachable, problems });
    return reachable
      ? { fate: "adopted", state: "running" }
      : { fate: "unsettled", state: "error" };
  };

  const cleanUp = async (
    vm: VmRecord,
    findings: Findings,
    operation: OperationContext,
  ): Promise<Settled> => {
    findings.isEnding = true;
    const leftovers = await tearDownVm(vm, "stop", operation);
    operation.logger.info("Remains of a VM removed", {
      vmId: vm.id,
      leftovers,
    });
    if (leftovers.length > 0) {
      findings.problems.push(...leftovers);
      const lastError = `not everything was removed: ${leftovers.join("; ")}`;
      return { fate: "unsettled", state: "error", lastError };
    }
    // With problems an earlier daemon could not clean up, and that is done now; without, its start or stop failed.
    const isSettled = vm.state === "error" && vm.runtime.problems !== undefined;
    const isStopped = vm.state === "running" || isSettled;
    return { fate: "cleaned", state: isStopped ? "stopped" : vm.state };
  };

  const settle = async (
    vm: VmRecord,
    findings: Findings,
    operation: OperationContext,
  ): Promise<Settled> => {
    // Without a usable file the record's names do, and the VMM is found by its socket.
    const saved = await handleStore.load(vm);
    const isMissing = saved.handles === undefined && vm.state === "running";
    const problem = saved.problem ?? (isMissing ? noHandles : undefined);
    if (problem !== undefined) {
      operation.logger.warn("Handles of a VM are unusable", {
        vmId: vm.id,
        problem,
      });
      findings.problems.push(problem);
    }
    // A VM that its own operation was still making is nobody's, and half a disk is no VM.
    if (vm.runtime.deleting || vm.runtime.provisional) {
      findings.isEnding = true;
      await deleteVm(vm, operation);
      operation.logger.info("Unfinished VM removed", { vmId: vm.id });
      return { fate: "removed", state: vm.state };
    }
    const handles = await findVmm(vm);
    const hasRemains =
      isMeantToRun(vm) || handles || vm.runtime.prepared === true;
    // An adoption writes the file anew and a cleanup removes it; one that cannot says so itself.
    if (problem !== undefined && hasRemains) findings.repaired.add(problem);
    if (handles && isMeantToRun(vm))
      return adopt(vm, handles, findings, operation);
    // A start may have made it before it said so.
    if (!hasRemains) await vmFiles.removeRun(vm);
    const settled: Settled = hasRemains
      ? await cleanUp(vm, findings, operation)
      : { fate: "unchanged", state: vm.state };
    findings.problems.push(...(await revertChange(vm, false, operation)));
    return settled;
  };

  /** @returns why it could not be written; the VM is taken care of all the same */
  const record = async (
    vm: VmRecord,
    { fate, state, lastError }: Settled,
    problems: readonly string[],
    { logger }: OperationContext,
  ): Promise<readonly string[]> => {
    const says = vm.runtime.problems ?? [];
    const isNews = state !== vm.state || problems.join() !== says.join();
    if (fate === "removed" || (!isNews && lastError === undefined)) return [];
    // What was wrong with the state before is over with it.
    const clean = state === vm.state ? withoutProblems : withoutFaults;
    try {
      await vmStore.update(vm.id, ({ runtime }) => ({
        state,
        runtime: {
          ...clean(runtime),
          ...(problems.length > 0 ? { problems } : {}),
          ...(lastError === undefined ? {} : { lastError }),
        },
      }));
      return [];
    } catch (error) {
      // A deletion that was given up on has come to its end.
      if (isBangerError(error) && error.code === "ERR_VM_GONE") return [];
      logger.error("Record of a VM cannot be written", { vmId: vm.id, error });
      return [`its record cannot be written: ${describeError(error)}`];
    }
  };

  return async (vm, operation) => {
    const abandon = new AbortController();
    const findings: Findings = { problems: [], repaired: new Set() };
    const { problems } = findings;
    let settled: Settled;
    try {
      settled = await withinLimit(
        {
          what: `looking at ${vm.name}`,
          limitMs: settings.reconcileTimeoutMs,
          graceMs,
          owner: operation.signal,
        },
        (signal) =>
          settle(vm, findings, {
            ...operation,
            signal,
            abandoned: abandon.signal,
          }),
      );
    } catch (error) {
      // The daemon ends; the next one looks again.
      throwIfCancelled(operation.signal, "reconciling");
      operation.logger.error("VM could not be reconciled", {
        vmId: vm.id,
        error,
      });
      problems.push(...linesOf(error));
      const isLive = isMeantToRun(vm) && findings.isEnding === undefined;
      const lastError = isLive ? {} : { lastError: describeError(error) };
      settled = { fate: "unsettled", state: "error", ...lastError };
    } finally {
      // Whoever gets the lock next must not meet a teardown that goes on behind its back.
      abandon.abort();
    }
    // What was given up on may still add to them.
    const found = [...problems];
    const wrong = found.filter((line) => !findings.repaired.has(line));
    const unwritten = await record(vm, settled, wrong, operation);
    const { handles } = findings;
    return {
      fate: settled.fate,
      problems: [...found, ...unwritten],
      ...(handles ? { handles } : {}),
    };
  };
}

function linesOf(error: unknown): readonly string[] {
  const details = isBangerError(error) ? error.details : [];
  return details.length > 0 ? details : [describeError(error)];
}
