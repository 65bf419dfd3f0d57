import {
  CancelledError,
  type OperationContext,
  type Progress,
} from "@banger/core";

interface Build<T> {
  readonly result: Promise<T>;
  readonly abort: AbortController;
  readonly listeners: Set<Progress>;
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
    const build = this.#builds.get(key) ?? this.#begin(key, operation, start);
    const { progress, signal } = operation;
    build.listeners.add(progress);
    let leave = (): void => undefined;
    const left = new Promise<never>((_, reject) => {
      leave = (): void => {
        reject(new CancelledError(`waiting for ${key}`, signal.reason));
      };
      signal.addEventListener("abort", leave);
      if (signal.aborted) leave();
    });
    try {
      return await Promise.race([build.result, left]);
    } finally {
      signal.removeEventListener("abort", leave);
      build.listeners.delete(progress);
      if (build.listeners.size === 0) {
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
    const listeners = new Set<Progress>();
    const progress: Progress = (stage, text) => {
      for (const listener of listeners) listener(stage, text);
    };
    const result = start({
      ...operation,
      signal: abort.signal,
      progress,
    }).finally(() => {
      this.#builds.delete(key);
    });
    result.catch(() => undefined);
    const build = { result, abort, listeners };
    this.#builds.set(key, build);
    return build;
  }
}
