import type { VmId } from "@banger/core";

/** Which VMs the name of a TAP device is promised to, from before its record says so until its network is removed. In memory. */
export class TapClaims {
  readonly #claimants = new Map<string, Set<VmId>>();

  /** Idempotent. */
  claim(id: VmId, device: string): void {
    const claimants = this.#claimants.get(device) ?? new Set();
    this.#claimants.set(device, claimants.add(id));
  }

  /** Idempotent. */
  release(id: VmId, device: string): void {
    const claimants = this.#claimants.get(device);
    claimants?.delete(id);
    if (claimants?.size === 0) this.#claimants.delete(device);
  }

  isClaimed(device: string): boolean {
    return this.#claimants.has(device);
  }

  /** Every device that the VM claims. */
  of(id: VmId): readonly string[] {
    return [...this.#claimants].flatMap(([device, claimants]) =>
      claimants.has(id) ? [device] : [],
    );
  }

  /** Does nobody else claim it? After a crash two records may name one device, one of them from before. */
  isAlone(id: VmId, device: string): boolean {
    const claimants = this.#claimants.get(device);
    return claimants?.has(id) === true && claimants.size === 1;
  }
}
