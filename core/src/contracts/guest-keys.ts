import type { VmRecord } from "../model/vm.js";

/** Public key text and the like that guest and host share. */
export interface GuestKeys {
  /** The install's own key pair for root in every guest; made on first use. OpenSSH one-line format. */
  authorizedKey(): Promise<string>;
  /** The VM's SSH host key, made by the host on first use, kept in the VM's directory. OpenSSH formats. */
  hostKey(
    vm: VmRecord,
  ): Promise<{ readonly privateKey: string; readonly publicKey: string }>;
}
