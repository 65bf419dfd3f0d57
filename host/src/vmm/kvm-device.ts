import { access, constants } from "node:fs/promises";
import { hasErrorCode } from "../files/error-code.js";

/** What keeps a user from KVM, and what helps. */
export interface KvmObstacle {
  readonly reason: string;
  readonly fix: string;
}

/** What keeps this user from opening the device; `undefined` when it opens, which does not mean that guests run. */
export async function kvmObstacle(
  device = "/dev/kvm",
): Promise<KvmObstacle | undefined> {
  try {
    await access(device, constants.R_OK | constants.W_OK);
    return undefined;
  } catch (error) {
    if (hasErrorCode(error, "ENOENT")) {
      return {
        reason: `there is no ${device}`,
        fix: "Switch on virtualisation in the firmware, or nested virtualisation in the outer host",
      };
    }
    if (hasErrorCode(error, "EACCES", "EPERM")) {
      return {
        reason: `${device} may not be opened by this user`,
        fix: 'sudo usermod -aG kvm "$USER", then log in again',
      };
    }
    throw error;
  }
}
