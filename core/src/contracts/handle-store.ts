import type { VmHandles, VmRecord } from "../model/vm.js";

/** The handles of each VM: a cache over `handles.json` in the VM's directory. */
export interface HandleStore {
  /** The handles, or `undefined` when none are known; a corrupt file counts as none and is logged. */
  read(vm: VmRecord): Promise<VmHandles | undefined>;
  /** Writes the file atomically, then the cache: a crash leaves the disk ahead of memory. */
  write(vm: VmRecord, handles: VmHandles): Promise<void>;
  /** Idempotent. */
  clear(vm: VmRecord): Promise<void>;
}
