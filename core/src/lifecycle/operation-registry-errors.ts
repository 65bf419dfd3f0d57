import { BangerError } from "../errors.js";
import { nameSome } from "../model/name-some.js";
import type { OperationRecord } from "../model/operation-record.js";

export class OperationNotFoundError extends BangerError {
  override readonly code = "ERR_OPERATION_NOT_FOUND";
  override readonly kind = "not-found";
  constructor(reference: string) {
    super(`no operation matches ${JSON.stringify(reference)}`, {
      hint: "See those of the last hour: banger operation list --all",
    });
  }
}

export class OperationAmbiguousError extends BangerError {
  override readonly code = "ERR_OPERATION_AMBIGUOUS";
  override readonly kind = "usage";
  constructor(reference: string, ids: readonly string[]) {
    super(
      `${JSON.stringify(reference)} matches several operations: ${nameSome(ids)}`,
      { hint: "Write more of the id" },
    );
  }
}

/** There is nothing left to cancel. */
export class OperationEndedError extends BangerError {
  override readonly code = "ERR_OPERATION_ENDED";
  override readonly kind = "conflict";
  constructor({ id, what, state }: OperationRecord) {
    super(`${what} (${id}) has ended: ${state}`, {
      hint: `See what it came to: banger operation show ${id}`,
    });
  }
}
