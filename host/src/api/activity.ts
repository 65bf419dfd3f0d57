import type { VmId } from "@banger/core";

export interface OngoingOperation {
  readonly id: string;
  /** method and path */
  readonly what: string;
  /** ISO 8601, UTC */
  readonly startedAt: string;
}

/** What is under way on behalf of clients: operations, and sessions on VMs. */
export class Activity {
  readonly #operations = new Map<
    string,
    { ongoing: OngoingOperation; abort: AbortController }
  >();
  readonly #sessions = new Map<VmId, Set<AbortController>>();
  readonly #onSessionEnd: (vmId: VmId, remaining: number) => void;
  #settled: (() => void)[] = [];

  constructor(onSessionEnd: (vmId: VmId, remaining: number) => void) {
    this.#onSessionEnd = onSessionEnd;
  }

  get operations(): readonly OngoingOperation[] {
    return [...this.#operations.values()].map(({ ongoing }) => ongoing);
  }

  get isIdle(): boolean {
    return this.#operations.size === 0 && this.#sessions.size === 0;
  }

  sessionsOf(vmId: VmId): number {
    return this.#sessions.get(vmId)?.size ?? 0;
  }

  /** @returns what to call when the operation has ended */
  beginOperation(id: string, what: string, abort: AbortController): () => void {
    const ongoing = { id, what, startedAt: new Date().toISOString() };
    this.#operations.set(id, { ongoing, abort });
    return () => {
      this.#operations.delete(id);
      this.#notify();
    };
  }

  /** @returns what to call when the session has ended */
  beginSession(vmId: VmId, abort: AbortController): () => void {
    const sessions = this.#sessions.get(vmId) ?? new Set();
    this.#sessions.set(vmId, sessions.add(abort));
    return () => {
      if (!sessions.delete(abort)) return;
      if (sessions.size === 0) this.#sessions.delete(vmId);
      this.#onSessionEnd(vmId, sessions.size);
      this.#notify();
    };
  }

  /** Cancels everything and resolves when all of it has cleaned up, or after `limitMs`. */
  async end(limitMs: number): Promise<void> {
    for (const { abort } of this.#operations.values()) abort.abort();
    for (const abort of [...this.#sessions.values()].flatMap((set) => [...set]))
      abort.abort();
    if (this.isIdle) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, limitMs);
      this.#settled.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  #notify(): void {
    if (!this.isIdle) return;
    for (const resolve of this.#settled) resolve();
    this.#settled = [];
  }
}
