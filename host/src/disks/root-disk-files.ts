import { access } from "node:fs/promises";
import { basename } from "node:path";
import {
  isVmId,
  type DiskFormat,
  type RootDiskStrategy,
  type VmRecord,
} from "@banger/core";
import { hasErrorCode } from "../files/error-code.js";

/** The overlay of a snapshot, in a VM's directory. */
export const snapshotFile = "root.cow";

/** Files in a VM's directory that hold what its guest wrote to the root disk. */
const files: Readonly<Record<RootDiskStrategy, string>> = {
  qcow2: "root.qcow2",
  reflink: "root.raw",
  snapshot: snapshotFile,
  copy: "root.raw",
};

/** What a VMM reads of each kind of root disk. */
export const rootDiskFormats: Readonly<Record<RootDiskStrategy, DiskFormat>> = {
  qcow2: "qcow2",
  reflink: "raw",
  snapshot: "raw",
  copy: "raw",
};

/** In this order files are taken for the root disk when the record does not decide. */
export const rootDiskStrategies: readonly RootDiskStrategy[] = [
  "qcow2",
  "reflink",
  "snapshot",
  "copy",
];

/**
 * Path of the file that holds a VM's root disk.
 * @throws Error for a record whose directory is not named by the VM's id: nothing outside of it may ever be written
 */
export function rootDiskFile(vm: VmRecord, strategy: RootDiskStrategy): string {
  const { directory } = vm.runtime;
  if (!isVmId(vm.id) || basename(directory) !== vm.id)
    throw new Error(`${directory} is no directory of the VM ${vm.id}`);
  return `${directory}/${files[strategy]}`;
}

/** The kind of root disk that a VM has: by its record where that file is there, else by the file. `undefined` before its first start. */
export async function findRootDisk(
  vm: VmRecord,
): Promise<RootDiskStrategy | undefined> {
  const recorded = vm.runtime.rootDisk;
  const candidates =
    recorded === undefined
      ? rootDiskStrategies
      : [recorded, ...rootDiskStrategies];
  for (const strategy of candidates)
    if (await hasFile(rootDiskFile(vm, strategy))) return strategy;
  return undefined;
}

export async function hasFile(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (error) {
    if (hasErrorCode(error, "ENOENT")) return false;
    throw error;
  }
}
