import type { GuestConfig } from "../model/guest-config.js";
import type { Image } from "../model/image.js";
import type { MachineConfig } from "../model/machine-config.js";
import type { VmRecord } from "../model/vm.js";

/** Makes what the VMM loads behind the kernel. */
export interface GuestBoot {
  /**
   * Writes one file: the image's initramfs, the guest configuration as a cpio, the archives of the plugins.
   * @returns its absolute path
   * @throws GuestConfigTooLargeError when it would not fit into the guest's memory
   */
  write(
    vm: VmRecord,
    image: Image,
    guest: GuestConfig,
    machine: MachineConfig,
    signal: AbortSignal,
  ): Promise<string>;
}
