import type {
  EgressInForce,
  Refusal,
  VmRecord,
  VmRefusals,
} from "@banger/core/client";
import { printableLine } from "./printable.js";
import type { Style } from "./style.js";
import { renderTable } from "./table.js";

/** What a VM may reach, then what it was refused, a line each. */
export function renderRefusals(
  vm: Pick<VmRecord, "name" | "spec">,
  { egress, refusals }: VmRefusals,
  style: Style,
): string {
  // Nobody has said no, and nobody looks: rules of before may be there still.
  if (vm.spec.nat && egress.kind === "closed")
    return `${vm.name} has NAT, but no plugin sees to it now. Look for the cause: banger doctor`;
  const policy = renderPolicy(vm.name, egress);
  if (!egress.recorded)
    return [
      policy,
      "Refusals are not noted: in network mode user the VMM itself refuses, and without the plugin nat nobody looks.",
    ].join("\n");
  if (refusals.length === 0)
    return [policy, "Nothing was refused in the last hour."].join("\n");
  const header = ["LAST", "PROTO", "ADDRESS", "PORT", "COUNT", "NAME"];
  return [
    policy,
    "",
    renderTable([
      header.map((title) => style.bold(title)),
      ...refusals.map(renderRow),
    ]),
  ].join("\n");
}

function renderPolicy(name: string, { kind, allow = [] }: EgressInForce) {
  switch (kind) {
    case "closed":
      return `${name} has no NAT: it reaches this host and its VMs. Open it: banger vm set ${name} --nat`;
    case "open":
      return `${name} has NAT and may reach everything.`;
    case "listed":
      return allow.length === 0
        ? `${name} has NAT and may reach nothing: plugins.nat.allow is empty.`
        : `${name} has NAT and may reach what plugins.nat.allow says: ${printableLine(allow.join(", "))}`;
  }
}

function renderRow(refusal: Refusal): readonly string[] {
  const { at, protocol, address, port, count, name } = refusal;
  return [
    // Seconds: the kernel tells no more.
    `${at.slice(0, 10)} ${at.slice(11, 19)} UTC`,
    protocol,
    address ?? "-",
    port === undefined ? "-" : String(port),
    String(count),
    name === undefined ? "-" : printableLine(name),
  ];
}
