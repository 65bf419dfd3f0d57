import {
  VmGoneError,
  VmNameTakenError,
  type VmPatch,
  type VmStore,
} from "../contracts/vm-store.js";
import { requireLegalMove, type VmId, type VmRecord } from "../model/vm.js";
import { HostCalls } from "./host-calls.js";

/** A {@link VmStore} in memory. */
export class FakeVmStore implements VmStore {
  readonly #rows = new Map<VmId, { lease: number; vm: VmRecord }>();
  readonly #calls: HostCalls;

  constructor(
    vms: readonly VmRecord[] = [],
    calls: HostCalls = new HostCalls(),
  ) {
    for (const [index, vm] of vms.entries())
      this.#rows.set(vm.id, { lease: index + 1, vm });
    this.#calls = calls;
  }

  async list(): Promise<readonly VmRecord[]> {
    return [...this.#rows.values()]
      .map(({ vm }) => vm)
      .sort((a, b) => a.createdAt.localeCompare(b.createdAt));
  }

  async find(id: VmId): Promise<VmRecord | undefined> {
    return this.#rows.get(id)?.vm;
  }

  insert(name: string, build: (lease: number) => VmRecord): Promise<VmRecord> {
    return this.#calls.call("insert the record", async () => {
      const rows = [...this.#rows.values()];
      if (rows.some(({ vm }) => vm.name === name))
        throw new VmNameTakenError(name);
      const taken = new Set(rows.map(({ lease }) => lease));
      let lease = 1;
      while (taken.has(lease)) lease += 1;
      const vm = build(lease);
      this.#rows.set(vm.id, { lease, vm });
      return vm;
    });
  }

  update(id: VmId, change: (vm: VmRecord) => VmPatch): Promise<VmRecord> {
    return this.#calls.call("update the record", async () => {
      const row = this.#rows.get(id);
      if (!row) throw new VmGoneError(id);
      const patch = change(row.vm);
      if (
        patch.name !== undefined &&
        [...this.#rows.values()].some(
          ({ vm }) => vm.id !== id && vm.name === patch.name,
        )
      )
        throw new VmNameTakenError(patch.name);
      requireLegalMove(row.vm, patch.state);
      const updatedAt = new Date().toISOString();
      const vm = { ...row.vm, ...patch, updatedAt };
      this.#rows.set(id, { ...row, vm });
      return vm;
    });
  }

  remove(id: VmId): Promise<void> {
    return this.#calls.call("remove the record", async () => {
      this.#rows.delete(id);
    });
  }
}
