import {
  VmGoneError,
  VmNameTakenError,
  type VmPatch,
  type VmStore,
} from "../contracts/vm-store.js";
import type { VmStats } from "../model/stats.js";
import { requireLegalMove, type VmId, type VmRecord } from "../model/vm.js";

/** A {@link VmStore} in memory. */
export class FakeVmStore implements VmStore {
  readonly #rows = new Map<VmId, { lease: number; vm: VmRecord }>();

  constructor(vms: readonly VmRecord[] = []) {
    for (const [index, vm] of vms.entries())
      this.#rows.set(vm.id, { lease: index + 1, vm });
  }

  async list(): Promise<readonly VmRecord[]> {
    return [...this.#rows.values()]
      .map(({ vm }) => vm)
      .sort((a, b) => a.createdAt.localeCompare(b.createdAt));
  }

  async find(id: VmId): Promise<VmRecord | undefined> {
    return this.#rows.get(id)?.vm;
  }

  async insert(
    name: string,
    build: (lease: number) => VmRecord,
  ): Promise<VmRecord> {
    this.#requireFree(name);
    const taken = new Set([...this.#rows.values()].map(({ lease }) => lease));
    let lease = 1;
    while (taken.has(lease)) lease += 1;
    const vm = build(lease);
    this.#rows.set(vm.id, { lease, vm });
    return vm;
  }

  async update(id: VmId, change: (vm: VmRecord) => VmPatch): Promise<VmRecord> {
    const row = this.#rows.get(id);
    if (!row) throw new VmGoneError(id);
    const patch = change(row.vm);
    if (patch.name !== undefined) this.#requireFree(patch.name, id);
    requireLegalMove(row.vm, patch.state);
    const updatedAt = new Date().toISOString();
    const vm = { ...row.vm, ...patch, updatedAt };
    this.#rows.set(id, { ...row, vm });
    return vm;
  }

  async saveStats(id: VmId, stats: VmStats): Promise<void> {
    const row = this.#rows.get(id);
    if (row) this.#rows.set(id, { ...row, vm: { ...row.vm, stats } });
  }

  async remove(id: VmId): Promise<void> {
    this.#rows.delete(id);
  }

  #requireFree(name: string, owner?: VmId): void {
    for (const { vm } of this.#rows.values())
      if (vm.name === name && vm.id !== owner) throw new VmNameTakenError(name);
  }
}
