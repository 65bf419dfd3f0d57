import type { ReachablePort } from "@banger/core/client";
import { printableLine } from "./printable.js";
import type { Style } from "./style.js";
import { renderTable } from "./table.js";

/** What listens in each VM, a line each. */
export function renderPorts(
  vms: readonly {
    readonly name: string;
    readonly ports: readonly ReachablePort[];
  }[],
  style: Style,
): string {
  const rows = vms.flatMap(({ name, ports }) =>
    ports.map(({ protocol, scheme, port, process, endpoint }) => [
      name,
      scheme === undefined ? protocol : `${protocol} ${scheme}`,
      String(port),
      process === undefined ? "-" : printableLine(process),
      endpoint === undefined ? "-" : printableLine(endpoint),
    ]),
  );
  if (rows.length === 0) return "";
  const header = ["VM", "PROTO", "PORT", "PROCESS", "ENDPOINT"];
  return renderTable([header.map((title) => style.bold(title)), ...rows]);
}
