import { BangerError } from "@banger/core";

/** The jail of a VM cannot be made, or not be removed, as things are. */
export class JailUnusableError extends BangerError {
  override readonly code = "ERR_JAIL_UNUSABLE";
  override readonly kind = "unavailable";
  constructor(path: string, problem: string, hint: string, cause?: unknown) {
    super(`${path} ${problem}`, { hint, cause });
  }
}

export const otherBaseHint =
  "Set vmm.jailer_chroot_base to a directory that only root can change, on the file system of banger's state";
