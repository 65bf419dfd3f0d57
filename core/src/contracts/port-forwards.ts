import { BangerError } from "../errors.js";
import type { PortForward } from "../model/port.js";
import type { VmRecord } from "../model/vm.js";

/** Listening sockets of the host whose connections go to ports of guests. They live in the daemon and end with it. */
export interface PortForwards {
  /**
   * Listens. Opening an open one is fine.
   * @throws PortUnavailableError
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

/** A port of the host that cannot be listened on. */
export class PortUnavailableError extends BangerError {
  override readonly code = "ERR_PORT_UNAVAILABLE";
  override readonly kind = "conflict";
  constructor(address: string, port: number, reason: string, cause?: unknown) {
    super(`${address}:${String(port)} ${reason}`, {
      hint: "Choose another port of the host: banger vm forward <vm> PORT:GUESTPORT",
      cause,
    });
  }
}
