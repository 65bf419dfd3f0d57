import { AsyncLocalStorage } from "node:async_hooks";

const current = new AsyncLocalStorage<string>();

/** Runs `work`, and all that it calls, as a part of the operation with this id. */
export function asPartOf<T>(operationId: string, work: () => T): T {
  return current.run(operationId, work);
}

/** The operation that the running code is a part of: for what leaves the process, where no context and no logger come along. */
export function currentOperationId(): string | undefined {
  return current.getStore();
}
