import { BangerError, isBangerError, type ErrorKind } from "../errors.js";

export class StartFailedError extends BangerError {
  override readonly code: string;
  override readonly kind: ErrorKind;
  readonly leftovers: readonly string[];

  /** Keeps code, kind and hint of its cause, so that a user reads why and not only that. */
  constructor(
    vmName: string,
    cause: unknown,
    leftovers: readonly string[],
    kept: boolean,
  ) {
    const known = isBangerError(cause) ? cause : undefined;
    const reason = cause instanceof Error ? cause.message : String(cause);
    const fate = kept ? ` (${vmName} is kept in state error)` : "";
    super(`${reason}${fate}`, {
      cause,
      ...(known?.hint === undefined ? {} : { hint: known.hint }),
    });
    this.code = known?.code ?? "ERR_START_FAILED";
    this.kind = known?.kind ?? "failed";
    this.leftovers = leftovers;
  }

  override get details(): readonly string[] {
    const reasons = isBangerError(this.cause) ? this.cause.details : [];
    return [...reasons, ...this.leftovers.map((line) => `left over: ${line}`)];
  }
}

/** Somebody else ended a start: what its owner gets, and the reason of the start's signal. */
export class StartCancelledError extends BangerError {
  override readonly code = "ERR_CANCELLED";
  override readonly kind = "cancelled";
  /** @param by the operation that did */
  constructor(vmName: string, by: string) {
    super(`the start of ${vmName} was cancelled by ${by}`);
  }
}

export class VmStateError extends BangerError {
  override readonly code = "ERR_VM_STATE";
  override readonly kind = "conflict";
}

/** `--nat` with no plugin in the set that opens the way out. */
export class NatUnavailableError extends BangerError {
  override readonly code = "ERR_NAT_UNAVAILABLE";
  override readonly kind = "usage";
  constructor(plugins: readonly string[]) {
    super(
      `no plugin of this VM opens a way out (enabled: ${plugins.join(", ") || "none"})`,
      {
        hint: "Enable the plugin that does, or leave out --nat",
      },
    );
  }
}
