import type { Logger, VmId, VmRecord, VmStats, VmStore } from "@banger/core";
import { settledWithin } from "./settled-within.js";

/** Longest look at one VM, ms: an agent that does not answer holds up nobody for longer. */
const mostLookMs = 5_000;

/** Longest wait for the looks to end when the daemon does, ms. */
const endLimitMs = 2_000;

/** VMs that are looked at side by side. */
const mostLooks = 4;

export interface StatsPollerOptions {
  readonly vmStore: Pick<VmStore, "list">;
  /** looks at one VM and keeps what it saw */
  readonly collectStats: (
    vm: VmRecord,
    signal: AbortSignal,
  ) => Promise<VmStats | undefined>;
  readonly logger: Logger;
  /** from the end of one round to the begin of the next, ms */
  readonly intervalMs: number;
}

interface Look {
  readonly abort: AbortController;
  readonly ended: Promise<void>;
}

/**
 * Looks regularly at what each running VM uses. Rounds never overlap, and neither do two looks at one VM: one whose guest hangs is left
 * out until its look has ended, and the others go on.
 */
export class StatsPoller {
  readonly #options: StatsPollerOptions;
  readonly #looks = new Map<VmId, Look>();
  #closed = false;
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void> = Promise.resolve();

  constructor(options: StatsPollerOptions) {
    this.#options = options;
  }

  /** The first round begins after one interval. */
  start(): void {
    if (this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#round = this.poll().finally(() => {
        this.start();
      });
    }, this.#options.intervalMs).unref();
  }

  /** Ends what is under way; resolves when all of it has ended, or when its time to end is up. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    const looks = [...this.#looks.values()];
    for (const { abort } of looks) abort.abort();
    const ended = [this.#round, ...looks.map((look) => look.ended)];
    await settledWithin(endLimitMs, Promise.all(ended));
  }

  /** One round. Never rejects: what goes wrong with one VM is in the log. */
  async poll(): Promise<void> {
    const { vmStore, logger } = this.#options;
    try {
      const running = (await vmStore.list()).filter(
        ({ id, state }) => state === "running" && !this.#looks.has(id),
      );
      const worker = async (): Promise<void> => {
        for (let vm = running.shift(); vm; vm = running.shift())
          await this.#look(vm);
      };
      await Promise.all(Array.from({ length: mostLooks }, worker));
    } catch (error) {
      logger.error("Running VMs could not be listed", { error });
    }
  }

  /** Resolves when the look has ended, or its time has. */
  async #look(vm: VmRecord): Promise<void> {
    if (this.#closed) return;
    const abort = new AbortController();
    const timer = setTimeout(() => {
      abort.abort(new Error("its time is up"));
    }, mostLookMs).unref();
    const ended = this.#collect(vm, abort.signal).finally(() => {
      clearTimeout(timer);
      this.#looks.delete(vm.id);
    });
    this.#looks.set(vm.id, { abort, ended });
    await Promise.race([ended, untilAborted(abort.signal)]);
  }

  async #collect(vm: VmRecord, signal: AbortSignal): Promise<void> {
    const { collectStats, logger } = this.#options;
    try {
      await collectStats(vm, signal);
    } catch (error) {
      if (this.#closed) return;
      const what = "It could not be seen what a VM uses";
      logger.warn(what, { vmId: vm.id, error });
    }
  }
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => {
      resolve();
    });
  });
}
