import { BangerError } from "../errors.js";
import { nameSome } from "./name-some.js";
import { suggestName } from "./suggest.js";
import type { VmRecord } from "./vm.js";

export class VmNotFoundError extends BangerError {
  override readonly code = "ERR_VM_NOT_FOUND";
  override readonly kind = "not-found";
  constructor(reference: string, names: readonly string[]) {
    super(`no VM matches ${JSON.stringify(reference)}`, {
      hint: suggestName(reference, names, 5),
    });
  }
}

export class VmAmbiguousError extends BangerError {
  override readonly code = "ERR_VM_AMBIGUOUS";
  override readonly kind = "usage";
  constructor(reference: string, names: readonly string[]) {
    super(
      `${JSON.stringify(reference)} matches several VMs: ${nameSome(names)}`,
      {
        hint: "Write more of the name or the id",
      },
    );
  }
}

/** Digits that the beginning of an id needs: a short name, such as `db` or `bee`, must not reach a VM whose id happens to begin so. */
const leastIdDigits = 4;

/**
 * Resolves what a user wrote: an exact id or name, else a prefix of exactly one VM's name or, from four digits on, id.
 * @throws {@link VmNotFoundError} and {@link VmAmbiguousError}
 */
export function resolveVm(
  reference: string,
  vms: readonly VmRecord[],
): VmRecord {
  // The id first: a name may look like another VM's id.
  const exact =
    vms.find((vm) => vm.id === reference) ??
    vms.find((vm) => vm.name === reference);
  if (exact) return exact;
  const matches =
    reference === ""
      ? []
      : vms.filter(
          ({ id, name }) =>
            name.startsWith(reference) ||
            (reference.length >= leastIdDigits && id.startsWith(reference)),
        );
  const [match] = matches;
  const names = (list: readonly VmRecord[]): string[] =>
    list.map((vm) => vm.name);
  if (match === undefined) throw new VmNotFoundError(reference, names(vms));
  if (matches.length > 1) throw new VmAmbiguousError(reference, names(matches));
  return match;
}
