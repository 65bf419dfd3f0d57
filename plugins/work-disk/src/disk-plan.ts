import { createHash } from "node:crypto";
import type { GuestConfig, MachineConfig, VmRecord } from "@banger/core";

/** ext4 block, bytes; fixed, so that a small disk can grow as far as a big one. */
const blockSizeBytes = 4096;

/** Every file that the plugin makes for a VM, absolute. */
export interface DiskPaths {
  /** the disk; stays until the VM goes */
  readonly disk: string;
  /** empty; there while a growth is begun and not finished */
  readonly growing: string;
  /** the disk while it is made; renamed to `disk` at the end */
  readonly unfinished: string;
  /** content of the disk while it is gathered */
  readonly staging: string;
}

/** Pure. */
export function diskPaths(vm: VmRecord): DiskPaths {
  const { directory } = vm.runtime;
  return {
    disk: `${directory}/work.ext4`,
    growing: `${directory}/work.ext4.growing`,
    unfinished: `${directory}/work.ext4.new`,
    staging: `${directory}/work.stage`,
  };
}

/** Size of the disk's file: what the owner wants, in whole blocks, bytes. Pure. */
export function wantedBytes(vm: VmRecord): number {
  return Math.floor(vm.spec.diskSizeBytes / blockSizeBytes) * blockSizeBytes;
}

/** Adds the drive `work`. Pure. */
export function withWorkDrive(
  machine: MachineConfig,
  vm: VmRecord,
): MachineConfig {
  const drive = {
    path: diskPaths(vm).disk,
    format: "raw",
    readOnly: false,
  } as const;
  return { ...machine, drives: { ...machine.drives, work: drive } };
}

/** Mounts the drive `work` at /root. Pure. */
export function withWorkMount(guest: GuestConfig): GuestConfig {
  const mount = {
    drive: "work",
    fsType: "ext4",
    options: ["noatime"],
  } as const;
  return { ...guest, mounts: { ...guest.mounts, "/root": mount } };
}

/** What is there: the size of the disk's file and of the file system in it, bytes. */
export interface DiskFacts {
  readonly fileBytes: number;
  /** absent when the file has no ext4 that can be understood */
  readonly fileSystemBytes: number | undefined;
  /** was a growth begun and not finished? */
  readonly growing: boolean;
}

export type DiskStep = "make" | "grow" | "keep";

/**
 * What has to be done. A disk never shrinks. Only the owner makes it grow, by the file's size or a growth that was begun: the guest
 * writes the superblock, and must not have the host's tools run on what it made. A disk whose ext4 the guest destroyed is the guest's.
 * Pure.
 */
export function diskStep(
  facts: DiskFacts | undefined,
  wanted: number,
): DiskStep {
  if (!facts) return "make";
  if (facts.fileSystemBytes === undefined) return "keep";
  return facts.growing || facts.fileBytes < wanted ? "grow" : "keep";
}

/** UUID of a VM's file system: the same for the same VM. RFC 9562, version 8. Pure. */
export function diskUuid(vmId: string): string {
  const hex = createHash("sha256").update(`banger:work:${vmId}`).digest("hex");
  const variant = ((parseInt(hex.slice(16, 17), 16) & 0x3) | 0x8).toString(16);
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(13, 16)}`,
    `${variant}${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ].join("-");
}

/**
 * Arguments of mke2fs for a fresh sparse file. Nothing is left for the guest's kernel to initialise in the background, as a file
 * that was never written reads as zeros.
 * @param prezeroed may the option be used that says so? e2fsprogs has it since 1.47.0
 * @see mke2fs(8), -E assume_storage_prezeroed. Pure.
 */
export function mkfsArguments(
  vm: VmRecord,
  prezeroed: boolean,
): readonly string[] {
  const { staging, unfinished } = diskPaths(vm);
  const extended = [
    "root_owner=0:0",
    ...(prezeroed
      ? ["assume_storage_prezeroed=1"]
      : ["lazy_itable_init=1", "lazy_journal_init=1"]),
  ];
  return [
    ...["-q", "-F", "-t", "ext4", "-b", String(blockSizeBytes)],
    ...["-L", "work", "-m", "0", "-U", diskUuid(vm.id)],
    ...["-E", extended.join(","), "-d", staging, unfinished],
  ];
}
