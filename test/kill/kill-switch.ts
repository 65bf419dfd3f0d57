import type { ContractInterceptor } from "@banger/core/testing";
import { isBackground } from "./background.js";
import type { KillFiles, KillPlan } from "./kill-plan.js";

/** Ends the daemon with SIGKILL just before or just after the call that the plan names. */
export class KillSwitch implements ContractInterceptor {
  readonly #files: KillFiles;
  #plan: KillPlan = { id: "none", isCounting: false };
  #calls = 0;

  constructor(files: KillFiles) {
    this.#files = files;
  }

  /** Takes the plan that is in the file, and begins to count anew. */
  arm(): void {
    this.#plan = this.#files.readPlan();
    this.#calls = 0;
    this.#files.acknowledge(this.#plan);
  }

  async call<T>(name: string, work: () => Promise<T>): Promise<T> {
    const { isCounting, at, moment } = this.#plan;
    if (!isCounting || isBackground()) return work();
    this.#files.addCall(name);
    this.#calls += 1;
    if (this.#calls !== at) return work();
    if (moment === "before") die();
    try {
      return await work();
    } finally {
      die();
    }
  }
}

/** Nothing runs after it: SIGKILL cannot be held back, so no handler, no `finally` and no write of ours follows. */
function die(): never {
  process.kill(process.pid, "SIGKILL");
  throw new Error("the daemon outlived SIGKILL");
}
