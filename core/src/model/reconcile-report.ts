/** What a daemon found when it began and made the records and the host agree. */
export interface ReconcileReport {
  /** ISO 8601, UTC */
  readonly startedAt: string;
  readonly durationMs: number;
  /** names of VMs that ran on and are in its care again */
  readonly adopted: readonly string[];
  /** names of VMs that had ended, or whose start or stop was half done: their remains are removed */
  readonly cleaned: readonly string[];
  /** names of VMs whose creation or deletion was half done: they are gone */
  readonly removed: readonly string[];
  readonly problems: readonly {
    /** name of the VM; `all` when no VM could be looked at */
    readonly vm: string;
    /** one line */
    readonly text: string;
  }[];
}
