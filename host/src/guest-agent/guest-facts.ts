import type { GuestFacts } from "@banger/core";
import { AgentProtocolError } from "./agent-errors.js";

/** More memory than any guest has, KiB: 64 TiB. */
const mostKiB = 2 ** 36;

/**
 * Facts from the text of two files of the guest's `/proc`. Pure.
 * @throws AgentProtocolError when they are not what a kernel writes
 * @see proc(5), /proc/meminfo and /proc/loadavg
 */
export function parseGuestFacts(meminfo: string, loadavg: string): GuestFacts {
  const total = parseKiB(meminfo, "MemTotal");
  const available = parseKiB(meminfo, "MemAvailable");
  if (total === 0 || available > total)
    throw new AgentProtocolError("the guest's /proc/meminfo is impossible");
  return {
    memoryTotalBytes: total * 1024,
    memoryAvailableBytes: available * 1024,
    loadAverage: parseLoad(loadavg),
  };
}

function parseKiB(meminfo: string, field: string): number {
  const line = meminfo.split("\n").find((one) => one.startsWith(`${field}:`));
  const digits = /^[A-Za-z]+: +(\d{1,11}) kB$/.exec(line ?? "")?.[1];
  const value = Number(digits);
  if (digits === undefined || value > mostKiB)
    throw new AgentProtocolError(`the guest's /proc/meminfo has no ${field}`);
  return value;
}

function parseLoad(loadavg: string): readonly [number, number, number] {
  const match =
    /^(\d{1,6}\.\d\d) (\d{1,6}\.\d\d) (\d{1,6}\.\d\d) \d+\/\d+ \d+\n$/.exec(
      loadavg,
    );
  if (!match) throw new AgentProtocolError("the guest's /proc/loadavg is odd");
  return [Number(match[1]), Number(match[2]), Number(match[3])];
}
