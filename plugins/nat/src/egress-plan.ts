import type { Finding, MachineConfig, Network, VmRecord } from "@banger/core";
import type { AllowList } from "./allow-list.js";
import { knownModes, type EgressMode } from "./egress-mode.js";
import { NatLiveError } from "./nat-live-error.js";

/** The machine with the VM's wish for a way out in it: `egress.net0` when NAT is on, unchanged otherwise. Pure. */
export function withEgress(
  machine: MachineConfig,
  vm: VmRecord,
): MachineConfig {
  if (!vm.spec.nat) return machine;
  return { ...machine, egress: { ...machine.egress, net0: "open" } };
}

/** What speaks against NAT for this VM on this host. Pure. */
export function natFindings(
  vm: VmRecord,
  egress: EgressMode | undefined,
  uplink: string | undefined,
  allow?: AllowList,
): readonly Finding[] {
  if (!vm.spec.nat) return [];
  if (!egress) {
    return [
      {
        id: "nat.mode",
        severity: "error",
        message: `the nat plugin does not know the network mode ${vm.runtime.networkMode}; it knows ${knownModes.join(", ")}`,
        fix: `Start ${vm.name} without NAT: banger vm set ${vm.name} --no-nat`,
      },
    ];
  }
  if (allow && !egress.enforcesAllow)
    return [
      {
        id: "nat.allow",
        severity: "error",
        message: `network mode ${vm.runtime.networkMode} cannot keep ${vm.name} to the list plugins.nat.allow: the VMM opens every connection or none`,
        fix: `Start ${vm.name} without NAT (banger vm set ${vm.name} --no-nat), take the list out of the configuration, or use network mode bridge`,
      },
    ];
  if (uplink !== undefined) return [];
  return [
    {
      id: "nat.uplink",
      severity: "warning",
      message: `the host has no IPv4 default route, so ${vm.name} reaches no further than the host does`,
      fix: "Look at the host's routes: ip route",
    },
  ];
}

/**
 * Applies a change of a VM's NAT to its guest. Nothing to do when the guest does not run or NAT stays as it is.
 * @throws NatLiveError when the guest runs and its network mode cannot switch, unless a change is taken back
 */
export async function changeEgress(
  change: {
    before: VmRecord;
    after: VmRecord;
    live: boolean;
    takingBack: boolean;
  },
  network: Pick<Network, "liveEgress">,
  egress: EgressMode | undefined,
  signal: AbortSignal,
): Promise<void> {
  const { before, after, live, takingBack } = change;
  if (!live || before.spec.nat === after.spec.nat) return;
  // Both must agree: the network that it may be switched, the mode that it knows how. Else the record would lie.
  if (egress?.apply && network.liveEgress(after)) {
    await egress.apply(after, signal);
    return;
  }
  // What cannot be switched was not switched.
  if (takingBack) return;
  throw new NatLiveError(
    before.name,
    after.spec.nat,
    egress?.fixedBecause ??
      `the plugin does not know the network mode ${after.runtime.networkMode}`,
  );
}
