import type { EgressMode } from "./egress-mode.js";
import { findUplink } from "./uplink.js";

/**
 * QEMU's user networking: QEMU itself opens the guest's connections, as the user it runs as. `restrict` is an argument of its
 * command line and its monitor has no command that changes it.
 * @see QEMU, qemu-options.hx, `-netdev user,restrict=`
 */
export const userEgress: EgressMode = {
  mode: "user",
  summary:
    "QEMU opens the guest's connections itself, without rule, forwarding or root; with NAT a guest also reaches what listens on this host's 127.0.0.1, as 10.0.2.2",
  fixedBecause: "QEMU's user networking fixes it at launch",
  enforcesAllow: false,
  findUplink: () => findUplink(),
};
