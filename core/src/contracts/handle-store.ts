import type { VmHandles, VmRecord } from "../model/vm.js";

/** What a VM's `handles.json` holds. Both are absent when there is no file. */
export interface SavedHandles {
  readonly handles?: VmHandles;
  /** why the file that is there cannot be used, one line */
  readonly problem?: string;
}

/** The handles of each VM: a cache over `handles.json` in the VM's directory. */
export interface HandleStore {
  /** From the file, whatever the cache says; fills the cache. Never rejects for what is in the file or keeps it from being read. */
  load(vm: VmRecord): Promise<SavedHandles>;
  /** From the cache, else the file; `undefined` when none are known: a corrupt file counts as none and is logged. */
  read(vm: VmRecord): Promise<VmHandles | undefined>;
  /** Writes the file atomically, then the cache: a crash leaves the disk ahead of memory. */
  write(vm: VmRecord, handles: VmHandles): Promise<void>;
  /** Idempotent. */
  clear(vm: VmRecord): Promise<void>;
}
