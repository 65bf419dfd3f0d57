import { BangerError } from "../errors.js";
import type { PortForward } from "../model/port.js";

/** A VM has at most one forward from each port of the host, so that the port alone names it. */
export class PortForwardedError extends BangerError {
  override readonly code = "ERR_PORT_FORWARDED";
  override readonly kind = "conflict";
  constructor(vmName: string, { port, guestPort }: PortForward) {
    super(
      `port ${String(port)} leads to port ${String(guestPort)} of ${vmName} already`,
      {
        hint: `Remove that first: banger vm forward ${vmName} ${String(port)} --remove`,
      },
    );
  }
}

export class PortNotForwardedError extends BangerError {
  override readonly code = "ERR_PORT_NOT_FORWARDED";
  override readonly kind = "not-found";
  constructor(vmName: string, port: number, ports: readonly number[]) {
    super(`no port ${String(port)} leads to ${vmName}`, {
      hint:
        ports.length === 0
          ? `None does; see what listens: banger vm ports ${vmName}`
          : `Forwarded: ${ports.join(", ")}`,
    });
  }
}
