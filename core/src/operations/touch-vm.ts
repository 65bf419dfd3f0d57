import type { VmStore } from "../contracts/vm-store.js";
import type { VmId, VmRecord } from "../model/vm.js";

/**
 * Notes that a VM is used now. Needs no lock: the store's updates are whole.
 * @throws VmGoneError
 */
export type TouchVm = (vm: { readonly id: VmId }) => Promise<VmRecord>;

export function createTouchVm({ vmStore }: { vmStore: VmStore }): TouchVm {
  return ({ id }) =>
    vmStore.update(id, ({ runtime }) => ({
      runtime: { ...runtime, lastUsedAt: new Date().toISOString() },
    }));
}
