import type { Image } from "../model/image.js";
import type { Drive } from "../model/machine-config.js";
import type { VmRecord } from "../model/vm.js";

/** A VM's root disk: copy-on-write over its image. */
export interface RootDisks {
  /** Pure: the drive that `ensure` makes. */
  drive(vm: VmRecord): Drive;
  /** Makes the overlay when it is absent; an existing one keeps what the guest wrote. */
  ensure(vm: VmRecord, image: Image, signal: AbortSignal): Promise<void>;
}
