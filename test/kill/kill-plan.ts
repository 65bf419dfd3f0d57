import {
  appendFileSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

/** When in a call the daemon dies. */
export type Moment = "before" | "after";

/** What a crashing daemon does with the calls that follow: nothing, write down their names, or die at one of them as well. */
export interface KillPlan {
  /** written back when the plan is in force */
  readonly id: string;
  readonly isCounting: boolean;
  /** the call, counted from 1 */
  readonly at?: number;
  readonly moment?: Moment;
}

/** Names the directory in which harness and daemon meet; in the daemon's environment. */
export const killDirectoryVariable = "BANGER_TEST_KILL_DIRECTORY";

/** The files through which a harness arms a daemon; SIGUSR2 says that there is a new plan. */
export class KillFiles {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  writePlan(plan: KillPlan): void {
    const path = this.#path("plan.json");
    writeFileSync(`${path}.new`, JSON.stringify(plan));
    renameSync(`${path}.new`, path);
  }

  readPlan(): KillPlan {
    return JSON.parse(
      readFileSync(this.#path("plan.json"), "utf8"),
    ) as KillPlan;
  }

  /** The daemon acts by this plan from now on. */
  acknowledge(plan: KillPlan): void {
    writeFileSync(this.#path("calls"), "");
    writeFileSync(this.#path("armed"), plan.id);
  }

  /** Which plan is in force. */
  armed(): string | undefined {
    return this.#read("armed");
  }

  /** Durable enough for SIGKILL: the kernel has it when this returns. */
  addCall(name: string): void {
    appendFileSync(this.#path("calls"), `${name}\n`);
  }

  /** Names of the calls since the plan is in force. */
  calls(): readonly string[] {
    return (this.#read("calls") ?? "").split("\n").filter(Boolean);
  }

  #path(name: string): string {
    return join(this.#directory, name);
  }

  #read(name: string): string | undefined {
    try {
      return readFileSync(this.#path(name), "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
  }
}
