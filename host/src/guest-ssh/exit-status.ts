import { constants } from "node:os";
import type { GuestExit } from "@banger/core";

/**
 * What the guest says about a process's end, made fit, as it may say anything: an impossible status or signal reads 255, never 0.
 * @param signal name with `SIG`
 */
export function readExit(
  code: number | null,
  signal: string | undefined,
): GuestExit {
  if (signal !== undefined && Object.hasOwn(constants.signals, signal))
    return { signal };
  if (code !== null && Number.isInteger(code) && code >= 0 && code <= 255)
    return { exitCode: code };
  return { exitCode: 255 };
}
