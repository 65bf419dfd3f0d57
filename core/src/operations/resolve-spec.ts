import type { HostFacts } from "../contracts/host-facts.js";
import { InvalidValueError } from "../errors.js";
import { formatSize } from "../model/size.js";
import type { VmSpec } from "../model/vm.js";
import type { OperationSettings } from "./settings.js";

/** What a caller may say of a VM; what it leaves out comes from the settings. */
export interface VmRequest {
  readonly name?: string | undefined;
  readonly image?: string | undefined;
  readonly vcpus?: number | undefined;
  readonly memoryMiB?: number | undefined;
  readonly diskSizeBytes?: number | undefined;
  readonly nat?: boolean | undefined;
  readonly ephemeral?: boolean | undefined;
  readonly accel?: VmSpec["accel"] | undefined;
  readonly driver?: string | undefined;
  /** added to the enabled plugins */
  readonly plugins?: readonly string[] | undefined;
  /** left out of the enabled plugins */
  readonly withoutPlugins?: readonly string[] | undefined;
}

/** Least memory that Debian with systemd boots in, MiB. */
export const leastMemoryMiB = 128;
const leastDiskBytes = 16 * 2 ** 20;
/** ext4 with 4 KiB blocks ends at 16 TiB. */
const mostDiskBytes = 16 * 2 ** 40;

/**
 * Checks numbers against what a guest needs and the host has.
 * @throws InvalidValueError
 */
export function checkResources(
  spec: Pick<VmSpec, "vcpus" | "memoryMiB" | "diskSizeBytes">,
  host: Pick<HostFacts, "cpus" | "memoryMiB">,
): void {
  const { vcpus, memoryMiB, diskSizeBytes } = spec;
  if (!Number.isInteger(vcpus) || vcpus < 1 || vcpus > host.cpus) {
    throw new InvalidValueError(`${String(vcpus)} vCPUs cannot be had`, {
      hint: `Choose 1 to ${String(host.cpus)}: this host has ${String(host.cpus)} CPUs`,
    });
  }
  if (
    !Number.isInteger(memoryMiB) ||
    memoryMiB < leastMemoryMiB ||
    memoryMiB > host.memoryMiB
  ) {
    throw new InvalidValueError(
      `${String(memoryMiB)} MiB of memory cannot be had`,
      {
        hint: `Choose ${String(leastMemoryMiB)}M to ${String(host.memoryMiB)}M: a guest needs the first, this host has the second`,
      },
    );
  }
  const diskFits =
    diskSizeBytes >= leastDiskBytes && diskSizeBytes <= mostDiskBytes;
  if (!Number.isSafeInteger(diskSizeBytes) || !diskFits) {
    throw new InvalidValueError(
      `a disk of ${formatSize(diskSizeBytes)} cannot be had`,
      {
        hint: `Choose ${formatSize(leastDiskBytes)} to ${formatSize(mostDiskBytes)}`,
      },
    );
  }
}

/** The whole spec of a new VM. @throws InvalidValueError */
export function resolveSpec(
  request: VmRequest,
  plugins: readonly string[],
  settings: OperationSettings,
  host: HostFacts,
): VmSpec {
  const spec: VmSpec = {
    image: request.image ?? settings.defaultImage,
    vcpus: request.vcpus ?? settings.defaults.vcpus,
    memoryMiB: request.memoryMiB ?? settings.defaults.memoryMiB,
    diskSizeBytes: request.diskSizeBytes ?? settings.defaults.diskSizeBytes,
    nat: request.nat ?? false,
    plugins,
    accel: request.accel ?? settings.accel,
    driver: request.driver ?? settings.driver,
    ephemeral: request.ephemeral ?? false,
  };
  checkResources(spec, host);
  return spec;
}
