import { BangerError } from "@banger/core";

/** The VMM ended before it ran the guest; the details are its own last lines. */
export class VmmLaunchError extends BangerError {
  override readonly code = "ERR_VMM_LAUNCH";
  readonly #lines: readonly string[];
  constructor(
    vmName: string,
    what: string,
    lines: readonly string[],
    cause?: unknown,
  ) {
    super(`the VMM of ${vmName} ${what}`, {
      hint: "Its own words are above; `banger doctor` checks the host",
      cause,
    });
    this.#lines = lines;
  }
  override get details(): readonly string[] {
    return this.#lines;
  }
}

/** The monitor of a VMM answered with something else than what was asked for, or not at all. */
export class VmmMonitorError extends BangerError {
  override readonly code = "ERR_VMM_MONITOR";
  constructor(problem: string, cause?: unknown) {
    super(`the QEMU monitor ${problem}`, {
      hint: "Stop the VM with --force and start it again",
      cause,
    });
  }
}

/** KVM was asked for and does not run guests here. */
export class KvmUnusableError extends BangerError {
  override readonly code = "ERR_KVM_UNUSABLE";
  override readonly kind = "unavailable";
  constructor(reason: string) {
    super(`KVM cannot run guests here: ${reason}`, {
      hint: "Use --accel emulate, or auto, which falls back by itself",
    });
  }
}

/** No driver, or not the one that was asked for, can run this VM here; the details say why, a line for each. */
export class VmmUnusableError extends BangerError {
  override readonly code = "ERR_VMM_UNUSABLE";
  override readonly kind = "unavailable";
  readonly #refusals: readonly string[];
  constructor(refusals: readonly string[]) {
    super(
      refusals.length === 1
        ? `this VM cannot run on ${refusals[0] ?? ""}`
        : "no VMM can run this VM here",
      {
        hint: "`banger doctor` says what each VMM lacks; --driver auto takes one that works",
      },
    );
    this.#refusals = refusals;
  }
  override get details(): readonly string[] {
    // One alone is the message.
    return this.#refusals.length > 1 ? this.#refusals : [];
  }
}
