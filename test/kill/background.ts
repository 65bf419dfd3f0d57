import { AsyncLocalStorage } from "node:async_hooks";

const background = new AsyncLocalStorage<true>();

/**
 * From now on whatever an interval does is told apart by {@link isBackground}: the daemon's own rounds, such as the one that looks at
 * the size of logs every few seconds, are no part of the operation under way, and would be counted among its calls by chance.
 */
export function markIntervals(): void {
  globalThis.setInterval = new Proxy(globalThis.setInterval, {
    apply: (target, self, [callback, ...rest]: [() => void, ...unknown[]]) =>
      Reflect.apply(target, self, [
        () => {
          background.run(true, callback);
        },
        ...rest,
      ]) as unknown,
  });
}

/** Is this the work of an interval, or what came of it? */
export function isBackground(): boolean {
  return background.getStore() === true;
}
