import type { FaultEffect, InjectedFault } from "../settings.js";

/** Which request of this process gets which fault. */
export class FaultPlan {
  readonly #faults: readonly {
    readonly fault: InjectedFault;
    readonly pattern: RegExp;
    seen: number;
  }[];

  constructor(faults: readonly InjectedFault[]) {
    this.#faults = faults.map((fault) => ({
      fault,
      pattern: new RegExp(`^${fault.path.replace(/\{[^}]+\}/, "[^/]*")}$`),
      seen: 0,
    }));
  }

  /** Counts a request. @returns the first fault that is meant for it */
  next(method: string, path: string): FaultEffect | undefined {
    let effect: FaultEffect | undefined;
    for (const entry of this.#faults) {
      if (entry.fault.method !== method || !entry.pattern.test(path)) continue;
      entry.seen += 1;
      if ((entry.fault.nth ?? entry.seen) === entry.seen)
        effect ??= entry.fault.effect;
    }
    return effect;
  }
}
