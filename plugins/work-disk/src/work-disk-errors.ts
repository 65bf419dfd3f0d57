import { BangerError, CommandFailedError } from "@banger/core";

/** The host has no room for the disk or what is written to it. */
export class DiskFullError extends BangerError {
  override readonly code = "ERR_DISK_FULL";
  override readonly kind = "unavailable";
  constructor(vmName: string, cause: unknown) {
    super(
      `preparing the disk at /root of ${vmName}: there is no space left on the host's disk`,
      {
        hint: "Free space on the host, then try again: `banger doctor` shows where",
        cause,
      },
    );
  }
}

/** Does an error, or what caused it, come from a full disk of the host? */
export function saysDiskFull(error: unknown): boolean {
  let current = error;
  // A chain of causes may be a ring.
  for (let depth = 0; current instanceof Error && depth < 5; depth++) {
    const { code } = current as NodeJS.ErrnoException;
    if (code === "ENOSPC" || code === "EDQUOT") return true;
    // Of unshare these are the kernel's words for too many user namespaces.
    const words =
      /^(?!unshare: unshare failed).*(No space left on device|Disk quota exceeded)/m;
    if (current instanceof CommandFailedError && words.test(current.stderrTail))
      return true;
    current = current.cause;
  }
  return false;
}

/** The image's seed for /root is no archive that may be unpacked. */
export class WorkSeedError extends BangerError {
  override readonly code = "ERR_WORK_SEED";
  constructor(image: string, problem: string, cause?: unknown) {
    super(`the seed for /root of the image ${image} ${problem}`, {
      hint: `Build the image again: banger image build ${image}`,
      cause,
    });
  }
}

/** The disk could not be made bigger. */
export class WorkDiskGrowError extends BangerError {
  override readonly code = "ERR_WORK_DISK_GROW";
  constructor(vmName: string, disk: string, cause: unknown) {
    super(`the disk at /root of ${vmName} could not be made bigger`, {
      hint: `Look at its file system: e2fsck -f ${disk}`,
      cause,
    });
  }
}
