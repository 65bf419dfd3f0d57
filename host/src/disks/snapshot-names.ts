import { isVmId, type VmId } from "@banger/core";
import type { MappedDevice } from "./device-mapper.js";

/** Digits of the id in the device's name. */
const nameDigits = 8;

/**
 * Names of a VM's device-mapper device. Pure.
 * @throws Error for an id that is none: these names go into commands
 */
export function snapshotNames({ id }: { readonly id: VmId }): {
  readonly dmName: string;
  readonly dmDevice: string;
} {
  if (!isVmId(id)) throw new Error(`${JSON.stringify(id)} is no id of a VM`);
  const dmName = `fc-rootfs-${id.slice(0, nameDigits)}`;
  return { dmName, dmDevice: `/dev/mapper/${dmName}` };
}

/** The device itself; eight digits of an id may be those of another VM's, its UUID has them all. */
export function mappedDevice(vm: { readonly id: VmId }): MappedDevice {
  return { name: snapshotNames(vm).dmName, uuid: `banger-${vm.id}` };
}
