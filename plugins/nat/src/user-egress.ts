import type { EgressMode } from "./egress-mode.js";

/**
 * QEMU's user networking: QEMU itself opens the guest's connections, as the user it runs as. `restrict` is an argument of its
 * command line and its monitor has no command that changes it.
 * @see QEMU, qemu-options.hx, `-netdev user,restrict=`
 */
export const userEgress: EgressMode = {
  mode: "user",
  summary:
    "QEMU opens the guest's connections itself; no firewall rule, no forwarding, no root",
  fixedBecause: "QEMU's user networking fixes it at launch",
};
