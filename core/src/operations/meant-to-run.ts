import type { VmRecord } from "../model/vm.js";

/**
 * Is a VMM of this VM its owner's, so that it must run on? One in `error` is when a daemon that began could not reach it; a `lastError`
 * tells of a start or stop that failed, whose remains go. Pure.
 */
export function isMeantToRun({ state, runtime }: VmRecord): boolean {
  const unreachable =
    runtime.problems !== undefined && runtime.lastError === undefined;
  return state === "running" || (state === "error" && unreachable);
}
