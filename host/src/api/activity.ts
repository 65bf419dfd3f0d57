import type { OperationRegistry, VmId } from "@banger/core";

/** What is under way on behalf of clients: the daemon's operations, and sessions on VMs. */
export class Activity {
  readonly #operations: OperationRegistry;
  readonly #sessions = new Map<VmId, Set<AbortController>>();
  readonly #onSessionEnd: (vmId: VmId, remaining: number) => void;
  readonly #onSessionBegin: (vmId: VmId) => void;
  #settled: (() => void)[] = [];

  constructor(
    operations: OperationRegistry,
    onSessionEnd: (vmId: VmId, remaining: number) => void,
    onSessionBegin: (vmId: VmId) => void = () => undefined,
  ) {
    this.#operations = operations;
    this.#onSessionEnd = onSessionEnd;
    this.#onSessionBegin = onSessionBegin;
  }

  get isIdle(): boolean {
    return this.#operations.runningCount === 0 && this.#sessions.size === 0;
  }

  sessionsOf(vmId: VmId): number {
    return this.#sessions.get(vmId)?.size ?? 0;
  }

  /** @returns what to call when the session has ended */
  beginSession(vmId: VmId, abort: AbortController): () => void {
    const sessions = this.#sessions.get(vmId) ?? new Set();
    this.#sessions.set(vmId, sessions.add(abort));
    this.#onSessionBegin(vmId);
    return () => {
      if (!sessions.delete(abort)) return;
      if (sessions.size === 0) this.#sessions.delete(vmId);
      this.#onSessionEnd(vmId, sessions.size);
      this.#notify();
    };
  }

  /** Cancels everything and resolves when all of it has cleaned up, or after `limitMs`. */
  async end(limitMs: number): Promise<void> {
    await Promise.all([
      this.#operations.end(limitMs),
      this.#endSessions(limitMs),
    ]);
  }

  async #endSessions(limitMs: number): Promise<void> {
    for (const abort of [...this.#sessions.values()].flatMap((set) => [...set]))
      abort.abort();
    if (this.#sessions.size === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, limitMs);
      this.#settled.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  #notify(): void {
    if (this.#sessions.size > 0) return;
    for (const resolve of this.#settled) resolve();
    this.#settled = [];
  }
}
