import type { Check, Network } from "@banger/core";
import { knownModes, type EgressMode } from "./egress-mode.js";

/** Pure: what was found, as checks. */
export function natChecks(
  network: Pick<Network, "mode">,
  egress: EgressMode | undefined,
  uplink: string | undefined,
  firewall?: Check,
): readonly Check[] {
  const mode: Check = egress
    ? {
        id: "nat.mode",
        title: "way out of the guests",
        status: "pass",
        detail: `network mode ${network.mode}: ${egress.summary}`,
      }
    : {
        id: "nat.mode",
        title: "way out of the guests",
        status: "fail",
        detail: `the plugin does not know the network mode ${network.mode}; it knows ${knownModes.join(", ")}`,
        fix: "banger plugin disable nat",
      };
  const route: Check =
    uplink === undefined
      ? {
          id: "nat.uplink",
          title: "the host's own way out",
          status: "warn",
          detail: "there is no IPv4 default route",
          fix: "ip route",
        }
      : {
          id: "nat.uplink",
          title: "the host's own way out",
          status: "pass",
          detail: `the IPv4 default route leaves through ${uplink}`,
        };
  return [mode, route, ...(firewall ? [firewall] : [])];
}
