import type { VmStore } from "../contracts/vm-store.js";
import { KeyedLock } from "../lifecycle/keyed-lock.js";
import { VmNotFoundError } from "../model/vm-reference.js";
import type { VmId, VmRecord } from "../model/vm.js";

/** One operation at a time for each VM. A lock is on the id, so that a rename never drops it. */
export class VmLocks {
  readonly #locks = new KeyedLock();
  readonly #vmStore: VmStore;

  constructor({ vmStore }: { vmStore: VmStore }) {
    this.#vmStore = vmStore;
  }

  /**
   * Runs `work` alone among holders of this VM's lock, with the record as it is then.
   * @throws VmNotFoundError when the VM is gone by then, CancelledError when `signal` aborts while waiting
   */
  run<T>(
    { id, name }: { readonly id: VmId; readonly name: string },
    signal: AbortSignal,
    work: (vm: VmRecord) => Promise<T>,
  ): Promise<T> {
    return this.#locks.run(id, signal, async () => {
      const vm = await this.#vmStore.find(id);
      if (!vm) throw new VmNotFoundError(name, []);
      return work(vm);
    });
  }
}
