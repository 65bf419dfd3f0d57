import type { Network, VmRecord } from "@banger/core";
import { userEgress } from "./user-egress.js";

/** How guests leave through one network mode. */
export interface EgressMode {
  /** the network mode that it belongs to */
  readonly mode: string;
  /** one line: who translates the guest's addresses */
  readonly summary: string;
  /** why a running guest keeps the egress that it was started with */
  readonly fixedBecause: string;
  /** Switches a running guest to what its record wants. Idempotent. Absent in modes that cannot. */
  readonly switchLive?: (vm: VmRecord, signal: AbortSignal) => Promise<void>;
}

const modes: readonly EgressMode[] = [userEgress];

/** The mode of this network, or `undefined` when the plugin does not know it. Pure. */
export function findEgressMode(
  network: Pick<Network, "mode">,
): EgressMode | undefined {
  return modes.find(({ mode }) => mode === network.mode);
}

/** Network modes that the plugin knows. */
export const knownModes: readonly string[] = modes.map(({ mode }) => mode);
