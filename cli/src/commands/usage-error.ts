import { BangerError } from "@banger/core/client";

/** The command line itself is wrong. */
export class UsageError extends BangerError {
  override readonly code = "ERR_USAGE";
  override readonly kind = "usage";
}
