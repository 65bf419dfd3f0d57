import type { VmmUsage } from "@banger/core";
import { readProc, readStat } from "./proc-files.js";
import type { ProcessIdentity } from "./process-identity.js";

/** Length of a clock tick as Linux tells it to programs, whatever its timer does: `USER_HZ` is 100 on every architecture of ours, ms. */
const tickMs = 10;

/** What a process has used since it began, its threads included; `undefined` when it has ended. */
export async function usageOf(
  identity: ProcessIdentity,
): Promise<VmmUsage | undefined> {
  const { pid, pidStartTicks } = identity;
  // Memory first: a pid that changes hands in between then shows another start.
  const status = await readProc(`/proc/${String(pid)}/status`);
  const field = await readStat(pid);
  if (status === undefined || Number(field?.(22)) !== pidStartTicks)
    return undefined;
  // A zombie has no memory any more.
  const resident = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
  if (resident === undefined) return undefined;
  return {
    cpuMs: (Number(field?.(14)) + Number(field?.(15))) * tickMs,
    residentBytes: Number(resident) * 1024,
  };
}
