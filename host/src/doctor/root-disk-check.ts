import {
  formatSize,
  type Check,
  type Image,
  type RootDiskStrategy,
} from "@banger/core";
import { dataBytes, estimateCopyMs } from "../disks/copy-root-disk.js";
import type { RootDiskProbe } from "../disks/root-disk-probe.js";

export interface RootDiskCheckDeps {
  readonly rootDiskProbe: Pick<RootDiskProbe, "best" | "forget">;
  /** on the file system of the VMs' disks */
  readonly directory: string;
}

/** What costs nothing until the guest writes. */
const atOnce = "made at once, grows with what the guest writes";

const describeBest: Readonly<
  Record<Exclude<RootDiskStrategy, "copy">, string>
> = {
  qcow2: `an overlay on the image, ${atOnce}`,
  reflink: `a file that shares the image's blocks, ${atOnce}`,
  snapshot: `a device-mapper snapshot of the image, ${atOnce}; lost when the host's disk gets full`,
};

/**
 * Which root disk a VM gets here and what it costs, for each format that a VMM reads. Tries it with files that are gone afterwards; what it
 * finds counts for the VMs that start from then on.
 * @param image that a new VM gets; absent while it is not built
 */
export async function rootDiskCheck(
  { rootDiskProbe, directory }: RootDiskCheckDeps,
  image: Image | undefined,
): Promise<Check> {
  rootDiskProbe.forget();
  const rootfs = image?.files.rootfs;
  const { strategy, obstacles } = await rootDiskProbe.best(
    "raw",
    directory,
    rootfs,
  );
  const raw =
    strategy === "copy"
      ? `a copy of the image, ${await copyCost(directory, rootfs)}`
      : describeBest[strategy];
  const why = obstacles.map(({ reason }) => reason).join(", and ");
  const detail = `qcow2: ${describeBest.qcow2}. raw (firecracker): ${raw}${why === "" ? "" : `, as ${why}`}`;
  const fixes = obstacles.map(({ fix }) => fix).join("; or: ");
  return {
    id: "host.root-disk",
    title: "root disks",
    // A copy is slow and large, and works.
    status: "pass",
    detail,
    ...(strategy === "copy" ? { fix: fixes } : {}),
  };
}

/** For each VM, before its guest has written anything. */
async function copyCost(
  directory: string,
  rootfs: string | undefined,
): Promise<string> {
  if (rootfs === undefined) return "as large as what the image holds";
  const bytes = await dataBytes(rootfs);
  const seconds = (await estimateCopyMs(directory, bytes)) / 1000;
  return `${formatSize(bytes)} and about ${seconds.toFixed(1)} s for each VM`;
}
