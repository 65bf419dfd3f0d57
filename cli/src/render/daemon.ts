import { formatSize } from "@banger/core/client";
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
    ...status.operations.map(({ id, what }) => [
      "busy with",
      printableLine(`${what} (${id})`),
    ]),
  ];
  return renderTable(
    rows.map(([name = "", value = ""]) => [style.dim(name), value]),
  );
}
