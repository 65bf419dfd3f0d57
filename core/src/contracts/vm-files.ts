import type { VmId, VmRecord } from "../model/vm.js";

/** Directories of VMs and what is in them. */
export interface VmFiles {
  /** Pure: where a VM's directories will be. */
  directories(id: VmId): {
    readonly directory: string;
    readonly runDirectory: string;
  };
  /** Makes both, mode 0700. Idempotent. */
  ensure(vm: VmRecord): Promise<void>;
  /** Removes what belongs to one run: sockets and the boot file. Idempotent. */
  removeRun(vm: VmRecord): Promise<void>;
  /** Removes both directories with everything in them. Idempotent. */
  removeAll(vm: VmRecord): Promise<void>;
  /** The last lines of the guest's console, oldest first, without control characters. */
  consoleTail(vm: VmRecord, lines: number): Promise<readonly string[]>;
  /** Space that the VM's directory really takes, bytes: holes in sparse files do not count. 0 when there is none. */
  usedBytes(vm: VmRecord): Promise<number>;
  /** Free space where the VM's directory is, bytes. */
  freeBytes(): Promise<number>;
}
