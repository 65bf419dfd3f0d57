import { BangerError } from "@banger/core";

/** The way out of a running guest cannot be switched in this network mode. */
export class NatLiveError extends BangerError {
  override readonly code = "ERR_NAT_LIVE";
  override readonly kind = "conflict";
  constructor(vmName: string, open: boolean, reason: string) {
    const flag = open ? "--nat" : "--no-nat";
    super(`the NAT of ${vmName} cannot change while it runs: ${reason}`, {
      hint: `Stop it first: banger vm stop ${vmName} && banger vm set ${vmName} ${flag} && banger vm start ${vmName}`,
    });
  }
}
