import { BangerError } from "../errors.js";
import type { VmId, VmRecord } from "../model/vm.js";

/** What a caller may change of a record; identity and creation time stay. */
export type VmPatch = Partial<Omit<VmRecord, "id" | "createdAt" | "updatedAt">>;

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

export class VmGoneError extends BangerError {
  override readonly code = "ERR_VM_GONE";
  override readonly kind = "not-found";
  constructor(id: VmId) {
    super(`the VM ${id} no longer exists`, {
      hint: "See what there is: banger vm list -a",
    });
  }
}
