import { guestTapName, type VmId } from "@banger/core";

/** What the names of pool devices end in: below this, as IFNAMSIZ leaves 15 characters. */
export const poolNumbers = 1_000_000;

/**
 * The names that a TAP device may have that is made for this VM, the first one unless another VM has it: eight digits of the id each, as
 * IFNAMSIZ leaves 15 characters. Pure.
 */
export function tapDeviceNames(id: VmId): readonly [string, ...string[]] {
  const nameAt = (start: number): string =>
    `tap-fc-${id.slice(start, start + 8)}`;
  return [nameAt(0), nameAt(1), nameAt(2), nameAt(3), nameAt(4)];
}

/** Has this device a name that only we give? Pure. */
export function isTapDeviceName(name: string): boolean {
  return guestTapName.test(name);
}

/** Is it the name of a device that may be in a pool? Pure. */
export function isPoolDeviceName(name: string): boolean {
  return guestTapName.test(name) && name.startsWith("tap-pool-");
}

/** @param number less than {@link poolNumbers} */
export function poolDeviceName(number: number): string {
  return `tap-pool-${String(number)}`;
}

/** The number in the name of a pool device. Pure. */
export function poolDeviceNumber(name: string): number {
  return Number(name.slice("tap-pool-".length));
}

/** What a TAP device carries as its alias while it is a VM's. Pure. */
export function vmAlias(id: VmId): string {
  return `banger-${id}`;
}

/** The VM that an alias names. Pure. */
export function vmOfAlias(alias: string | undefined): string | undefined {
  return /^banger-([0-9a-f]{12})$/.exec(alias ?? "")?.[1];
}

/** What a TAP device carries as its alias while it is idle in the pool of an install. Pure. */
export function poolAlias(tag: string): string {
  return `banger-pool-${tag}`;
}

/** What a bridge carries as its alias. Pure. */
export function installAlias(tag: string): string {
  return `banger-${tag}`;
}
