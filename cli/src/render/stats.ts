import {
  formatSize,
  type VmId,
  type VmIo,
  type VmStats,
} from "@banger/core/client";
import type { Style } from "./style.js";
import { renderTable } from "./table.js";

export interface NamedStats {
  readonly id: VmId;
  readonly name: string;
  readonly stats: VmStats;
}

/**
 * A line for each VM. A dash is what is not known: a CPU share at the first look, what its VMM does not count, the inside of a guest
 * that does not answer.
 */
export function renderStats(all: readonly NamedStats[], style: Style): string {
  if (all.length === 0) return "";
  const header = [
    ...["NAME", "CPU", "RSS", "DISK", "READ/WRITTEN", "NET IN/OUT"],
    ...["GUEST MEMORY", "LOAD"],
  ];
  return renderTable([
    header.map((title) => style.bold(title)),
    ...all.map(({ name, stats }) => [
      name,
      stats.cpuPercent === undefined ? "-" : `${stats.cpuPercent.toFixed(0)} %`,
      formatSize(stats.residentBytes),
      formatSize(stats.diskBytes),
      ...renderIo(stats.io),
      ...renderGuest(stats),
    ]),
  ]);
}

function renderIo(io: VmIo | undefined): readonly [string, string] {
  if (!io) return ["-", "-"];
  const { networkReceivedBytes: received, networkSentBytes: sent } = io;
  return [
    `${formatSize(io.diskReadBytes)}/${formatSize(io.diskWrittenBytes)}`,
    received === undefined || sent === undefined
      ? "-"
      : `${formatSize(received)}/${formatSize(sent)}`,
  ];
}

function renderGuest({ guest }: VmStats): readonly [string, string] {
  if (!guest) return ["-", "-"];
  const { memoryTotalBytes, memoryAvailableBytes, loadAverage } = guest;
  const used = formatSize(memoryTotalBytes - memoryAvailableBytes);
  return [
    `${used} of ${formatSize(memoryTotalBytes)}`,
    loadAverage.map((average) => average.toFixed(2)).join(" "),
  ];
}
