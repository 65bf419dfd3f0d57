export type CheckStatus = "pass" | "warn" | "fail";

/** One thing that was looked at. */
export interface Check {
  /** stable: `<plugin or host>.<thing>`, such as `nat.ip-forward` */
  readonly id: string;
  readonly title: string;
  readonly status: CheckStatus;
  /** what was seen */
  readonly detail: string;
  /** one command or step that helps */
  readonly fix?: string;
}

/** Checks of one plugin, or of the host. */
export interface CheckSection {
  readonly section: string;
  readonly checks: readonly Check[];
}

/** A reason against a start, found by preflight. */
export interface Finding {
  /** stable, `<plugin>.<thing>` */
  readonly id: string;
  /** `error` refuses the start; `warning` is shown */
  readonly severity: "error" | "warning";
  readonly message: string;
  readonly fix?: string;
}

/** How a VM is. */
export interface VmHealth {
  /** no check failed */
  readonly healthy: boolean;
  readonly checks: readonly Check[];
}
