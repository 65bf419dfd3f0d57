import { formatSize, type ReconcileReport } from "@banger/core/client";
import type { Build } from "../build-id.js";
import type { DaemonStatus } from "../commands/daemon.js";
import { renderAge } from "./duration.js";
import { printableLine } from "./printable.js";
import type { Style } from "./style.js";
import { renderTable } from "./table.js";

export function renderDaemon(
  status: DaemonStatus,
  own: Build,
  style: Style,
): string {
  const note =
    status.build === own.id
      ? ""
      : style.yellow(` (this command is build ${own.id})`);
  const rows = [
    ["pid", String(status.pid)],
    ["version", status.version],
    ["build", `${status.build}${note}`],
    ["up", `${renderAge(status.startedAt)}, since ${status.startedAt}`],
    ["memory", formatSize(status.residentBytes)],
    ["running VMs", String(status.runningVms)],
    ["log", status.logFile],
    ...reconcileRows(status.reconcile),
    ...status.operations.map(({ id, what }) => [
      "busy with",
      printableLine(`${what} (${id})`),
    ]),
  ];
  return renderTable(
    rows.map(([name = "", value = ""]) => [style.dim(name), value]),
  );
}

/** What the daemon found when it began; nothing to say is not said. */
function reconcileRows(
  report: ReconcileReport | undefined,
): readonly (readonly [string, string])[] {
  if (!report) return [];
  const names = (
    title: string,
    list: readonly string[],
  ): readonly (readonly [string, string])[] =>
    list.length === 0 ? [] : [[title, list.map(printableLine).join(", ")]];
  return [
    ...names("adopted", report.adopted),
    ...names("cleaned up", report.cleaned),
    ...names("removed", report.removed),
    ...report.problems.map(
      ({ vm, text }) => ["problem", printableLine(`${vm}: ${text}`)] as const,
    ),
  ];
}
