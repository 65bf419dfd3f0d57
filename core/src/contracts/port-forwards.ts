import { BangerError } from "../errors.js";
import type { PortForward } from "../model/port.js";
import type { VmRecord } from "../model/vm.js";

/** Listening sockets of the host whose connections go to ports of guests. They live in the daemon and end with it. */
export interface PortForwards {
  /**
   * Listens. Opening an open one is fine.
   * @throws PortUnavailableError; PortForwardedError when it leads to another port of the VM
   */
  open(vm: VmRecord, forward: PortForward): Promise<void>;
  /** Stops listening and ends its connections. Idempotent. */
  close(vm: VmRecord, forward: PortForward): Promise<void>;
  /** All of a VM. Idempotent. */
  closeAll(vm: VmRecord): Promise<void>;
  /** Those of a VM that listen now. */
  listening(vm: VmRecord): readonly PortForward[];
  /** Resolves when it does not listen any more, or after `signal`. Never rejects. */
  ended(vm: VmRecord, forward: PortForward, signal: AbortSignal): Promise<void>;
}

/** `busy`: another program listens; `privileged`: only root may; `foreign`: the address is none of this host */
export type PortTrouble = "busy" | "privileged" | "foreign";

/** A port of the host that cannot be listened on. */
export class PortUnavailableError extends BangerError {
  override readonly code = "ERR_PORT_UNAVAILABLE";
  override readonly kind = "conflict";
  constructor(
    address: string,
    port: number,
    trouble: PortTrouble,
    cause?: unknown,
  ) {
    const { is, hint } = troubles[trouble];
    super(`${address}:${String(port)} ${is}`, { hint: hint(port), cause });
  }
}

const troubles: Readonly<
  Record<
    PortTrouble,
    { readonly is: string; readonly hint: (port: number) => string }
  >
> = {
  busy: {
    is: "is in use by another program",
    hint: (port) =>
      `Choose another port of the host, or find that program: ss -ltnp 'sport = :${String(port)}'`,
  },
  privileged: {
    is: "is a port that only root may listen on",
    hint: () =>
      "Choose a higher port of the host: those below 1024 are usually for root alone",
  },
  foreign: {
    is: "is not an address of this host",
    hint: () =>
      "Leave out --address, or choose one that this host has: ip -brief address",
  },
};
