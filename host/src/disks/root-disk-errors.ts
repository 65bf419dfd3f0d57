import {
  BangerError,
  type DiskFormat,
  type RootDiskStrategy,
  type VmRecord,
} from "@banger/core";

/** The VM has a root disk, and the VMM that is to run it reads other formats only. */
export class RootDiskFormatError extends BangerError {
  override readonly code = "ERR_ROOT_DISK_FORMAT";
  override readonly kind = "conflict";
  constructor(
    vm: Pick<VmRecord, "name">,
    format: DiskFormat,
    wanted: readonly DiskFormat[],
  ) {
    super(
      `the root disk of ${vm.name} is ${format}, and the VMM that was chosen reads ${wanted.join(" and ")}`,
      {
        hint: `Start ${vm.name} with a driver that reads ${format}, or make another VM; a disk is never converted`,
      },
    );
  }
}

/** This host cannot make, or no longer use, a root disk of the kind that the VM's record names. */
export class RootDiskUnavailableError extends BangerError {
  override readonly code = "ERR_ROOT_DISK_UNAVAILABLE";
  override readonly kind = "unavailable";
  constructor(
    vm: Pick<VmRecord, "name">,
    strategy: RootDiskStrategy,
    obstacle: { readonly reason: string; readonly fix: string },
    cause?: unknown,
  ) {
    super(
      `the root disk of ${vm.name} is a ${strategy}, and ${obstacle.reason}`,
      { hint: obstacle.fix, cause },
    );
  }
}

/** The kernel gave up on a snapshot: it could not write to the overlay, so what the guest wrote later is lost. */
export class RootDiskInvalidError extends BangerError {
  override readonly code = "ERR_ROOT_DISK_INVALID";
  constructor(vm: Pick<VmRecord, "name">, overlay: string, problem: string) {
    super(`the root disk of ${vm.name} cannot be used: ${overlay} ${problem}`, {
      hint: `Delete the VM, which its root disk is lost to: banger vm delete ${vm.name}`,
    });
  }
}

/** A loop or device-mapper device that somebody has open, or whose name somebody else has. */
export class RootDiskBusyError extends BangerError {
  override readonly code = "ERR_ROOT_DISK_BUSY";
  override readonly kind = "conflict";
  constructor(device: string, problem: string, cause?: unknown) {
    super(`${device} ${problem}`, {
      hint: `See who uses it: lsblk --inverse ${device}, lsof ${device}`,
      cause,
    });
  }
}
