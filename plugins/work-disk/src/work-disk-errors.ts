import { BangerError } from "@banger/core";

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
