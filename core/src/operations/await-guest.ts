import { GuestNotReadyError, type GuestAgent } from "../contracts/guest.js";
import type { VmFiles } from "../contracts/vm-files.js";
import type { VmmDriver } from "../contracts/vmm.js";
import type { OperationContext } from "../lifecycle/operation.js";
import type { VmHandles, VmRecord } from "../model/vm.js";

/** Console lines that a failed boot shows: a kernel panic says why some thirty lines before its end. */
const consoleLines = 40;

/**
 * Waits for the guest's first answer, or for the end of its VMM.
 * @throws GuestNotReadyError with the last lines of the guest's console, CancelledError
 */
export async function awaitGuest(
  deps: {
    readonly guestAgent: GuestAgent;
    readonly vmFiles: VmFiles;
    readonly readyTimeoutMs: number;
  },
  vm: VmRecord,
  vmm: VmmDriver,
  handles: VmHandles,
  operation: OperationContext,
): Promise<void> {
  const { guestAgent, vmFiles, readyTimeoutMs } = deps;
  const answered = new AbortController();
  const signal = AbortSignal.any([operation.signal, answered.signal]);
  let what = `did not answer within ${String(readyTimeoutMs / 1000)} s; its console says`;
  const ended = vmm.waitForExit(handles, signal).then(() => {
    if (signal.aborted) return;
    what = "ended before it answered; its console says";
    throw new GuestNotReadyError(vm.name, what, []);
  });
  const ready = guestAgent.waitReady(vm, readyTimeoutMs, signal);
  try {
    await Promise.race([ready, ended.then(() => ready)]);
  } catch (error) {
    if (!(error instanceof GuestNotReadyError)) throw error;
    const lines = await vmFiles.consoleTail(vm, consoleLines);
    throw new GuestNotReadyError(vm.name, what, lines, error.cause);
  } finally {
    answered.abort();
    // Both are settled or about to be; neither may become an unhandled rejection.
    await Promise.allSettled([ended, ready]);
  }
}
