import { setTimeout as sleep } from "node:timers/promises";
import { hasErrorCode } from "../files/error-code.js";

/** How long a group has between SIGTERM and SIGKILL, ms. */
const graceMs = 2000;
/** How long the kernel has to end a killed group, ms; a process in uninterruptible sleep, or a zombie nobody reaps, may take longer. */
const deathMs = 2000;

/**
 * Sends a signal to every process of a group. A process group lives as long as one of its members, so its number cannot have gone to
 * another group while one does.
 * @returns false when nobody is left in it
 */
export function signalGroup(
  group: number,
  signal: NodeJS.Signals | 0,
): boolean {
  // 0 and 1 would mean our own group and every process there is.
  if (!Number.isInteger(group) || group <= 1)
    throw new Error(`${String(group)} is no process group of ours`);
  try {
    process.kill(-group, signal);
    return true;
  } catch (error) {
    if (hasErrorCode(error, "ESRCH")) return false;
    // Someone else's set-uid program is in it: it is there, and out of our reach.
    if (hasErrorCode(error, "EPERM")) return true;
    throw error;
  }
}

/** Ends a group: SIGTERM, after two seconds SIGKILL. Resolves when nobody is left, or when waiting longer is of no use. */
export async function endGroup(group: number): Promise<void> {
  if (!signalGroup(group, "SIGTERM")) return;
  if (await isGone(group, graceMs)) return;
  signalGroup(group, "SIGKILL");
  await isGone(group, deathMs);
}

async function isGone(group: number, limitMs: number): Promise<boolean> {
  const until = performance.now() + limitMs;
  for (
    let pause = 2;
    performance.now() < until;
    pause = Math.min(50, pause * 2)
  ) {
    if (!signalGroup(group, 0)) return true;
    await sleep(pause);
  }
  return !signalGroup(group, 0);
}
