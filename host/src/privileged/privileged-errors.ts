import { BangerError } from "@banger/core";
import { z } from "zod";

/** What was asked for does not fit the request: the asking side is wrong, or hostile. */
export class PrivilegedInputError extends BangerError {
  override readonly code = "ERR_PRIVILEGED_INPUT";
  override readonly kind = "usage";
  constructor(request: string, cause: z.ZodError) {
    super(
      `the privileged request ${request} is refused: ${z.prettifyError(cause).split("\n")[0] ?? ""}`,
      {
        hint: "Restart the daemon when helper and daemon are of different versions: sudo banger system restart",
        cause,
      },
    );
  }
}
