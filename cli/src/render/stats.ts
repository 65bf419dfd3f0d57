import { formatSize, type VmId, type VmStats } from "@banger/core/client";
import type { Style } from "./style.js";
import { renderTable } from "./table.js";

export interface NamedStats {
  readonly id: VmId;
  readonly name: string;
  readonly stats: VmStats;
}

/** A line for each VM. A dash is what is not known: a CPU share at the first look, the inside of a guest that does not answer. */
export function renderStats(all: readonly NamedStats[], style: Style): string {
  if (all.length === 0) return "";
  const header = ["NAME", "CPU", "RSS", "DISK", "GUEST MEMORY", "LOAD"];
  return renderTable([
    header.map((title) => style.bold(title)),
    ...all.map(({ name, stats }) => [
      name,
      stats.cpuPercent === undefined ? "-" : `${stats.cpuPercent.toFixed(0)} %`,
      formatSize(stats.residentBytes),
      formatSize(stats.diskBytes),
      ...renderGuest(stats),
    ]),
  ]);
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
