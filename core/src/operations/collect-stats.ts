import type { GuestAgent } from "../contracts/guest.js";
import type { VmFiles } from "../contracts/vm-files.js";
import type { VmStore } from "../contracts/vm-store.js";
import type { VmmDrivers, VmmUsage } from "../contracts/vmm.js";
import { isBangerError } from "../errors.js";
import { throwIfCancelled } from "../lifecycle/operation.js";
import { withinLimit } from "../lifecycle/waiting.js";
import type { GuestFacts, VmStats } from "../model/stats.js";
import type { VmHandles, VmId, VmRecord } from "../model/vm.js";
import { findAlive, type FindVmm } from "./find-vmm.js";

/** How long the guest's agent may take to answer, ms. */
const factsLimitMs = 2_000;

/**
 * Looks at what a VM uses and keeps it in its record. Needs no lock.
 * @returns `undefined` when the VM is not alive
 * @throws CancelledError
 */
export type CollectStats = (
  vm: VmRecord,
  signal: AbortSignal,
) => Promise<VmStats | undefined>;

export function createCollectStats(deps: {
  vmStore: VmStore;
  vmmDrivers: VmmDrivers;
  vmFiles: VmFiles;
  guestAgent: GuestAgent;
  findVmm: FindVmm;
}): CollectStats {
  const { vmStore, vmmDrivers, vmFiles, guestAgent, findVmm } = deps;
  const shares = new CpuShares();

  const askGuest = async (
    vm: VmRecord,
    signal: AbortSignal,
  ): Promise<GuestFacts | undefined> => {
    try {
      return await withinLimit(
        {
          what: "asking the guest",
          limitMs: factsLimitMs,
          graceMs: 0,
          owner: signal,
        },
        (limit) => guestAgent.facts(vm, limit),
      );
    } catch (error) {
      throwIfCancelled(signal, "looking at a VM");
      // A guest may be too busy to answer, or have no agent any more.
      if (isBangerError(error)) return undefined;
      throw error;
    }
  };

  return async (vm, signal) => {
    const handles = await findAlive(findVmm, vm);
    const { driver } = vm.runtime;
    const usage =
      handles && driver !== undefined
        ? await vmmDrivers.get(driver).usage(vm, handles, signal)
        : undefined;
    if (!handles || !usage) {
      shares.forget(vm.id);
      return undefined;
    }
    const cpuPercent = shares.next(vm.id, handles, usage, performance.now());
    const [diskBytes, guest] = await Promise.all([
      vmFiles.usedBytes(vm),
      askGuest(vm, signal),
    ]);
    const stats: VmStats = {
      collectedAt: new Date().toISOString(),
      ...(cpuPercent === undefined ? {} : { cpuPercent }),
      residentBytes: usage.residentBytes,
      diskBytes,
      ...(usage.io ? { io: usage.io } : {}),
      ...(guest ? { guest } : {}),
    };
    await vmStore.saveStats(vm.id, stats);
    return stats;
  };
}

interface Look {
  /** pid and start time: a process never has another's */
  readonly process: string;
  readonly cpuMs: number;
  /** on a clock that never jumps, ms */
  readonly atMs: number;
  readonly percent?: number;
}

/** The kernel counts CPU time in steps of 10 ms: over less than this the share is noise. */
const shortestMs = 200;

/** Processes whose last look is kept; the one longest ago goes first. */
const mostLooks = 4096;

/** Each VMM's share of a CPU between two looks. */
class CpuShares {
  readonly #looks = new Map<VmId, Look>();

  /** @returns percent of one CPU; `undefined` at the first look at a process */
  next(
    id: VmId,
    { pid, pidStartTicks }: VmHandles,
    { cpuMs }: VmmUsage,
    atMs: number,
  ): number | undefined {
    const process = `${String(pid)} ${String(pidStartTicks)}`;
    const last = this.#looks.get(id);
    if (last?.process !== process) {
      this.#keep(id, { process, cpuMs, atMs });
      return undefined;
    }
    const elapsedMs = atMs - last.atMs;
    if (elapsedMs < shortestMs) return last.percent;
    const percent = Math.max(0, ((cpuMs - last.cpuMs) / elapsedMs) * 100);
    this.#keep(id, { process, cpuMs, atMs, percent });
    return percent;
  }

  forget(id: VmId): void {
    this.#looks.delete(id);
  }

  /** VMs that were deleted between two looks are never asked for again. */
  #keep(id: VmId, look: Look): void {
    this.#looks.delete(id);
    this.#looks.set(id, look);
    const [oldest] = this.#looks.keys();
    if (this.#looks.size > mostLooks && oldest !== undefined)
      this.#looks.delete(oldest);
  }
}
