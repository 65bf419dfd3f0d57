import { open, stat, truncate } from "node:fs/promises";
import type { VmRecord } from "@banger/core";
import { ensureFile } from "./new-file.js";
import { RootDiskInvalidError } from "./root-disk-errors.js";

/** Size of what a snapshot copies at once, sectors of 512 bytes: one block of the image's ext4, so no write copies more than it must. */
export const chunkSectors = 8;

const sectorBytes = 512;
const chunkBytes = chunkSectors * sectorBytes;

/** Linux, dm-snap-persistent.c: a metadata chunk is an array of `struct disk_exception`, 16 bytes each. */
const exceptionsPerArea = chunkBytes / 16;

/**
 * Size of an overlay that cannot overflow, bytes: every chunk of the base once, a chunk of metadata before each 256 of them and one more
 * that the kernel clears ahead, and the header.
 * @see Linux, dm-snap-persistent.c: `area_location`, `persistent_prepare_exception`, `persistent_commit_exception`
 */
export function overlayBytes(baseBytes: number): number {
  const chunks = Math.ceil(baseBytes / chunkBytes);
  const areas = Math.floor(chunks / exceptionsPerArea) + 1;
  return (1 + areas + chunks) * chunkBytes;
}

/**
 * Makes the overlay, sparse and empty, when it is absent; one that is there keeps what the guest wrote.
 * @throws RootDiskInvalidError for one that the kernel would not take
 */
export async function ensureOverlay(
  vm: VmRecord,
  path: string,
  baseBytes: number,
): Promise<void> {
  const size = overlayBytes(baseBytes);
  await ensureFile(path, `making the root disk of ${vm.name}`, async (half) => {
    await (await open(half, "wx", 0o600)).close();
    await truncate(half, size);
  });
  const found = (await stat(path)).size;
  if (found !== size) {
    const problem = `has ${String(found)} bytes, and one over this image has ${String(size)}`;
    throw new RootDiskInvalidError(vm, path, problem);
  }
  const problem = await headerProblem(path);
  if (problem !== undefined) throw new RootDiskInvalidError(vm, path, problem);
}

/** "SnAp" in little-endian order. */
const magic = 0x70416e53;

/**
 * Why the kernel would not use an overlay with this header, four little-endian numbers of 32 bits: magic, validity, version, chunk size.
 * @see Linux, dm-snap-persistent.c: `struct disk_header`, `read_header`
 */
async function headerProblem(path: string): Promise<string | undefined> {
  const header = Buffer.alloc(16);
  const file = await open(path, "r");
  try {
    await file.read(header, 0, header.length, 0);
  } finally {
    await file.close();
  }
  // The kernel writes the header at the first use.
  if (header.readUInt32LE(0) === 0) return undefined;
  if (header.readUInt32LE(0) !== magic) return "is no overlay of a snapshot";
  return header.readUInt32LE(4) === 0
    ? "was given up by the kernel, most likely because the host's disk was full when the guest wrote"
    : undefined;
}
