import { BangerError } from "../errors.js";
import type { VmStats } from "../model/stats.js";
import type { VmId, VmRecord } from "../model/vm.js";

/** What a caller may change of a record; identity and creation time stay. */
export type VmPatch = Partial<
  Omit<VmRecord, "id" | "createdAt" | "updatedAt" | "stats">
>;

/** The durable records. Every write is on disk when its promise resolves. */
export interface VmStore {
  /** All records, oldest first. */
  list(): Promise<readonly VmRecord[]>;
  find(id: VmId): Promise<VmRecord | undefined>;
  /**
   * Reserves name and guest address and writes the row, in one transaction.
   * @param build makes the record for the leased address number, a whole number from 1 that no other record holds
   * @throws {@link VmNameTakenError}
   */
  insert(name: string, build: (lease: number) => VmRecord): Promise<VmRecord>;
  /**
   * Applies a change to the record as it is now and returns the new one.
   * @throws {@link VmGoneError} when there is no such record
   */
  update(id: VmId, change: (vm: VmRecord) => VmPatch): Promise<VmRecord>;
  /** Keeps what was last seen of a VM; no change of the record, whose time stays. Does nothing when there is no such record. */
  saveStats(id: VmId, stats: VmStats): Promise<void>;
  /** Removes the row and its lease. Idempotent. */
  remove(id: VmId): Promise<void>;
}

export class VmNameTakenError extends BangerError {
  override readonly code = "ERR_VM_NAME_TAKEN";
  override readonly kind = "conflict";
  constructor(name: string) {
    super(`there is a VM named ${name} already`, {
      hint: `Choose another name, or remove it: banger vm delete ${name}`,
    });
  }
}

/** Another program holds the store's write lock for too long. */
export class StoreBusyError extends BangerError {
  override readonly code = "ERR_STORE_BUSY";
  override readonly kind = "unavailable";
  constructor(file: string, cause: unknown) {
    super(`${file} is locked by another program`, {
      hint: `See which: fuser -v ${file}`,
      cause,
    });
  }
}

export class VmGoneError extends BangerError {
  override readonly code = "ERR_VM_GONE";
  override readonly kind = "not-found";
  /** @param why what ended it, where that is known */
  constructor(vm: string, why?: string) {
    super(
      `the VM ${vm} no longer exists${why === undefined ? "" : `: ${why}`}`,
      {
        hint: "See what there is: banger vm list -a",
      },
    );
  }
}
