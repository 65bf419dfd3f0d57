import type { ListeningPort } from "../model/port.js";
import type { VmRecord } from "../model/vm.js";

/** What listens in a running guest. */
export interface GuestPorts {
  /**
   * By protocol and port. Each TCP port is probed for http and https within a short limit.
   * @throws GuestConnectionError
   */
  list(vm: VmRecord, signal: AbortSignal): Promise<readonly ListeningPort[]>;
}
