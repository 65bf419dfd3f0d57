import type { Image } from "../model/image.js";
import type { DiskFormat, Drive } from "../model/machine-config.js";
import type { RootDiskStrategy, VmRecord, VmRuntime } from "../model/vm.js";

/** Kernel objects under a root disk; the record says them before they are made. */
export type RootDiskNames = Pick<
  VmRuntime,
  "baseLoop" | "cowLoop" | "dmName" | "dmDevice"
>;

/** A VM's root disk: copy-on-write over its image where the host can. */
export interface RootDisks {
  /** Format of the root disk that a VM has; `undefined` before there is one, whatever the record says. Looks only. */
  find(vm: VmRecord): Promise<DiskFormat | undefined>;
  /**
   * How the root disk of a VM is made: as the one that it has, else the best that this host gives for the first of `formats`. Looks, makes
   * nothing that stays.
   * @param formats what the VMM reads
   * @throws RootDiskFormatError when the disk that it has cannot be read by such a VMM
   */
  choose(
    vm: VmRecord,
    formats: readonly [DiskFormat, ...DiskFormat[]],
    image: Image,
    signal: AbortSignal,
  ): Promise<RootDiskStrategy>;
  /** Pure: the drive that `ensure` makes, by the record's strategy; a qcow2 overlay when it has none yet. */
  drive(vm: VmRecord): Drive;
  /**
   * Makes the disk of the record's strategy when it is absent; an existing one keeps what the guest wrote. Idempotent.
   * @param record awaited before each kernel object is made
   */
  ensure(
    vm: VmRecord,
    image: Image,
    record: (names: RootDiskNames) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void>;
  /** Removes the kernel objects of one run, from names alone; the guest's data stay. Idempotent, runs to the end. */
  release(vm: VmRecord): Promise<void>;
}
