import {
  CancelledError,
  throwIfCancelled,
  type OperationContext,
  type Progress,
} from "@banger/core";

interface Build<T> {
  readonly result: Promise<T>;
  readonly abort: AbortController;
  /** those who wait; the last to leave ends it */
  readonly waiting: Set<{ readonly progress: Progress }>;
}

/** One build for everybody who wants the same thing at the same time; it ends when the last of them leaves. */
export class SharedBuilds<T> {
  readonly #builds = new Map<string, Build<T>>();

  /** @throws CancelledError when this caller leaves; else what the build throws */
  async join(
    key: string,
    operation: OperationContext,
    start: (operation: OperationContext) => Promise<T>,
  ): Promise<T> {
    const { progress, signal } = operation;
    throwIfCancelled(signal, `waiting for ${key}`);
    const build = this.#builds.get(key) ?? this.#begin(key, operation, start);
    const self = { progress };
    build.waiting.add(self);
    let leave = (): void => undefined;
    const left = new Promise<never>((_, reject) => {
      leave = (): void => {
        reject(new CancelledError(`waiting for ${key}`, signal.reason));
      };
      signal.addEventListener("abort", leave);
    });
    try {
      return await Promise.race([build.result, left]);
    } finally {
      signal.removeEventListener("abort", leave);
      build.waiting.delete(self);
      if (build.waiting.size === 0) {
        // Who comes now gets a build of its own, not the end of this one.
        this.#forget(key, build);
        build.abort.abort(new Error("nobody waits for it any more"));
        // Whoever left last waits for the clean-up: a cancelled command leaves nothing behind.
        await build.result.catch(() => undefined);
      }
    }
  }

  #begin(
    key: string,
    operation: OperationContext,
    start: (operation: OperationContext) => Promise<T>,
  ): Build<T> {
    const abort = new AbortController();
    const waiting: Build<T>["waiting"] = new Set();
    const progress: Progress = (stage, text) => {
      for (const waiter of waiting) waiter.progress(stage, text);
    };
    const result = start({ ...operation, signal: abort.signal, progress });
    const build = { result, abort, waiting };
    const forget = (): void => {
      this.#forget(key, build);
    };
    result.then(forget, forget);
    this.#builds.set(key, build);
    return build;
  }

  #forget(key: string, build: Build<T>): void {
    if (this.#builds.get(key) === build) this.#builds.delete(key);
  }
}
