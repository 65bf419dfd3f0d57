import type { AnyPrivilegedRequest } from "@banger/core";
import { diskRequests } from "../disks/disk-requests.js";
import { removeBridges } from "../network/bridge-traces.js";
import {
  prepareNetwork,
  readNetworkRules,
  removeNetwork,
} from "../network/network-requests.js";
import { drainTapPool, fillTapPool } from "../network/tap-pool-requests.js";
import { mapIds } from "../images/map-ids.js";
import { jailRequests } from "../vmm/firecracker/jail-requests.js";

/** What root knows of an install besides its directories. */
export interface HostRequestSettings {
  /** absolute path of Firecracker, when root was told one */
  readonly firecracker?: string;
  /** absolute path of its jailer, when root was told one */
  readonly jailer?: string;
  /** the directory of all jails; absolute, root's */
  readonly jailBase: string;
}

/** Every request of the host itself, as the root helper carries them out. Pure. */
export function hostRequests(
  settings: HostRequestSettings,
): readonly AnyPrivilegedRequest[] {
  return [
    mapIds,
    ...each(diskRequests(settings)),
    ...each(jailRequests(settings)),
    prepareNetwork,
    removeNetwork,
    readNetworkRules,
    removeBridges,
    fillTapPool,
    drainTapPool,
  ];
}

/** Requests that were made together, because they share settings. */
function each(requests: object): readonly AnyPrivilegedRequest[] {
  return Object.values(requests) as readonly AnyPrivilegedRequest[];
}
