import type { Check, Network } from "@banger/core";

/** One network mode of this host, which can say whether it works here. */
export interface HostNetwork extends Network {
  /** Reads only. */
  check(): Promise<Check>;
}
