import { uptime } from "node:os";
import type {
  Logger,
  OperationRegistry,
  VmId,
  VmRecord,
  VmService,
} from "@banger/core";
import { isUnderWay } from "./under-way.js";

/** How often it is looked for VMs that nobody uses, at most and at least, ms. */
const mostPauseMs = 60_000;
const leastPauseMs = 1_000;

/** How long a daemon watches a VM at least before it stops it, ms; with a shorter limit half of that. */
const mostGraceMs = 60 * 60_000;

export interface StaleStopperOptions {
  readonly vmService: Pick<VmService, "list" | "stop">;
  readonly operations: OperationRegistry;
  readonly logger: Logger;
  readonly sessionsOf: (vmId: VmId) => number;
  /** longest time without use, ms */
  readonly staleAfterMs: number;
  readonly clocks?: Clocks;
}

/** Where the time comes from, ms. */
export interface Clocks {
  /** only ever grows, at the pace of time */
  readonly monotonic: () => number;
  /** since 1970; may jump either way */
  readonly wall: () => number;
  /** since the host booted */
  readonly sinceBoot: () => number;
}

const hostClocks: Clocks = {
  monotonic: () => performance.now(),
  wall: () => Date.now(),
  sinceBoot: () => uptime() * 1000,
};

/** The last use of a VM that is known. */
interface Use {
  /** of the record, when it was last looked at */
  readonly lastUsedAt: string | undefined;
  /** monotonic time of that look or of a later use; of the daemon's begin for a use before it */
  readonly since: number;
  readonly beforeDaemon: boolean;
}

/**
 * Stops running VMs that nobody uses: no session, and none that began or ended and no touch for a time. That time is measured by the
 * monotonic clock, since the wall clock may be set at any moment; the wall clock counts only for a use before this daemon began, and
 * there it cannot make a VM stop before the daemon has watched it for a while.
 */
export class StaleStopper {
  readonly #options: StaleStopperOptions;
  readonly #clocks: Clocks;
  readonly #beganAt: number;
  readonly #beganAtWall: number;
  readonly #upAtBegin: number;
  readonly #graceMs: number;
  readonly #uses = new Map<VmId, Use>();
  readonly #stopping = new Map<VmId, AbortController>();
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void> = Promise.resolve();
  /** has it looked at the VMs that an earlier daemon left running? */
  #hasChecked = false;
  #closed = false;

  constructor(options: StaleStopperOptions) {
    this.#options = options;
    this.#clocks = options.clocks ?? hostClocks;
    this.#beganAt = this.#clocks.monotonic();
    this.#beganAtWall = this.#clocks.wall();
    this.#upAtBegin = this.#clocks.sinceBoot();
    this.#graceMs = Math.min(mostGraceMs, options.staleAfterMs / 2);
  }

  start(): void {
    if (this.#closed) return;
    const pause = this.#options.staleAfterMs / 10;
    this.#timer = setTimeout(
      () => {
        this.#round = this.check().finally(() => {
          this.start();
        });
      },
      Math.min(mostPauseMs, Math.max(leastPauseMs, pause)),
    ).unref();
  }

  /** Begins no stop any more; one that is under way is its operation's. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const abort of this.#stopping.values()) abort.abort();
    await this.#round;
  }

  /** A session began or ended. A stop that has not begun yet is given up. */
  used(vmId: VmId): void {
    const known = this.#uses.get(vmId);
    const since = this.#clocks.monotonic();
    const lastUsedAt = known?.lastUsedAt;
    this.#uses.set(vmId, { lastUsedAt, since, beforeDaemon: false });
    this.#stopping.get(vmId)?.abort(new Error("somebody uses it again"));
  }

  /** Looks at every VM once. Never rejects. */
  async check(): Promise<void> {
    const { vmService, logger } = this.#options;
    try {
      const running = (await vmService.list()).filter(
        // An ephemeral VM goes with its last session anyway.
        ({ state, spec }) => state === "running" && !spec.ephemeral,
      );
      this.#forgetOthers(running);
      const stale = running.filter((vm) => this.#isStale(vm));
      this.#hasChecked = true;
      for (const vm of stale)
        // Again: the stops before it took their time.
        if (!this.#isBusy(vm)) await this.#stop(vm);
    } catch (error) {
      logger.error("VMs that nobody uses could not be looked for", { error });
    }
  }

  #forgetOthers(running: readonly VmRecord[]): void {
    const ids = new Set(running.map(({ id }) => id));
    for (const id of this.#uses.keys()) if (!ids.has(id)) this.#uses.delete(id);
  }

  #isStale(vm: VmRecord): boolean {
    if (this.#isBusy(vm)) {
      this.used(vm.id);
      return false;
    }
    const { since, beforeDaemon } = this.#lookAt(vm);
    const earlier = beforeDaemon ? this.#idleBeforeDaemonMs(vm) : 0;
    const idleMs = this.#clocks.monotonic() - since + earlier;
    return idleMs >= this.#options.staleAfterMs;
  }

  /** Has it a session, or is an operation on it under way? Who restarts it wants it to run. */
  #isBusy(vm: VmRecord): boolean {
    const { sessionsOf, operations } = this.#options;
    return sessionsOf(vm.id) > 0 || isUnderWay(operations, vm);
  }

  #lookAt({ id, runtime: { lastUsedAt } }: VmRecord): Use {
    const known = this.#uses.get(id);
    if (known && known.lastUsedAt === lastUsedAt) return known;
    // One that says something else than before, or runs since the look before, was used meanwhile, whatever time it says.
    const use: Use =
      known || this.#hasChecked
        ? { lastUsedAt, since: this.#clocks.monotonic(), beforeDaemon: false }
        : { lastUsedAt, since: this.#beganAt, beforeDaemon: true };
    this.#uses.set(id, use);
    return use;
  }

  /** How long a VM was not used before this daemon began, as far as that can be believed, ms. */
  #idleBeforeDaemonMs({ runtime: { lastUsedAt = "" } }: VmRecord): number {
    const usedAt = Date.parse(lastUsedAt);
    if (Number.isNaN(usedAt)) return 0;
    const { monotonic, wall } = this.#clocks;
    // A clock that was wrong when the daemon began may have been set right since; one that is set forward since does not count.
    const began = wall() - (monotonic() - this.#beganAt);
    const idleMs = Math.min(began, this.#beganAtWall) - usedAt;
    // A VM that runs was started, which is a use, after the host.
    const most = Math.min(
      this.#upAtBegin,
      this.#options.staleAfterMs - this.#graceMs,
    );
    return Math.max(0, Math.min(idleMs, most));
  }

  async #stop(vm: VmRecord): Promise<void> {
    const { vmService, operations } = this.#options;
    if (this.#closed) return;
    const abort = new AbortController();
    this.#stopping.set(vm.id, abort);
    try {
      await operations.run(
        `stop ${vm.name}, which nobody uses`,
        { vm: vm.id, signal: abort.signal },
        (operation) => vmService.stop(vm.id, {}, operation),
      );
    } catch {
      // The operation has told the log. The next try comes after as long a time again, not at once.
      this.used(vm.id);
    } finally {
      this.#stopping.delete(vm.id);
    }
  }
}
