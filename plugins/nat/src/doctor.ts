import type { Check, Network } from "@banger/core";
import type { AllowList } from "./allow-list.js";
import { knownModes, type EgressMode } from "./egress-mode.js";

/** Pure: what was found, as checks. */
export function natChecks(
  network: Pick<Network, "mode">,
  egress: EgressMode | undefined,
  uplink: string | undefined,
  allow?: AllowList,
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
  const policy = { id: "nat.allow", title: "what guests with NAT may reach" };
  return [
    mode,
    route,
    !allow
      ? { ...policy, status: "pass", detail: "everything" }
      : egress?.enforcesAllow === false
        ? {
            ...policy,
            status: "warn",
            detail: `network mode ${network.mode} cannot keep guests to a list, so no VM with NAT starts`,
            fix: 'Set mode = "bridge" in section [network] of the configuration, or take out plugins.nat.allow',
          }
        : {
            ...policy,
            status: "pass",
            detail:
              allow.texts.length === 0
                ? "nothing but the bridge: the list is empty"
                : allow.texts.join(", "),
          },
  ];
}
