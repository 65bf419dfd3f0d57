import {
  BangerError,
  suggestName,
  type Accel,
  type Image,
  type OperationContext,
  type VmmChoice,
  type VmmDriver,
  type VmmDrivers,
} from "@banger/core";
import type { KvmProbe } from "./kvm-probe.js";
import { KvmUnusableError } from "./vmm-errors.js";

class VmmDriverNotFoundError extends BangerError {
  override readonly code = "ERR_VMM_DRIVER_NOT_FOUND";
  override readonly kind = "not-found";
  constructor(id: string, known: readonly string[]) {
    super(`there is no VMM driver ${JSON.stringify(id)}`, {
      hint: suggestName(id, known),
    });
  }
}

/** The drivers of this install. Which one runs a guest follows from what a probe boot proved. */
export class InstalledVmmDrivers implements VmmDrivers {
  readonly #drivers: ReadonlyMap<string, VmmDriver>;
  readonly #kvmProbe: KvmProbe;

  constructor(options: { drivers: readonly VmmDriver[]; kvmProbe: KvmProbe }) {
    this.#drivers = new Map(
      options.drivers.map((driver) => [driver.id, driver]),
    );
    this.#kvmProbe = options.kvmProbe;
  }

  get(id: string): VmmDriver {
    const driver = this.#drivers.get(id);
    if (!driver)
      throw new VmmDriverNotFoundError(id, [...this.#drivers.keys()]);
    return driver;
  }

  async choose(
    wanted: "auto" | Accel,
    image: Image,
    operation: Pick<OperationContext, "signal" | "progress" | "logger">,
  ): Promise<VmmChoice> {
    if (wanted === "emulate") {
      return {
        driver: "qemu",
        accel: "emulate",
        reason: "software emulation, as asked for",
      };
    }
    const verdict = await this.#kvmProbe.verdict(image, operation.signal);
    if (verdict.works) return { driver: "qemu", accel: "kvm", reason: "KVM" };
    if (wanted === "kvm") throw new KvmUnusableError(verdict.reason);
    // Said at every start, in short: emulation is slow and no isolation boundary. Doctor has the whole reason.
    const [why = ""] = verdict.reason.split(":");
    const reason = `software emulation (no isolation boundary), because ${why}`;
    return { driver: "qemu", accel: "emulate", reason };
  }
}
