import { chunkSectors } from "./snapshot-overlay.js";

const sectorBytes = 512;

/**
 * Table of a snapshot for device-mapper. Pure.
 * @param base device under it, by path or by number
 * @param overlay device that takes what is written
 * @throws Error for a base of no whole number of sectors
 * @see Linux, Documentation/admin-guide/device-mapper/snapshot.rst: P keeps the overlay over the end of the device
 */
export function snapshotTable(
  baseBytes: number,
  base: string,
  overlay: string,
): string {
  if (baseBytes === 0 || baseBytes % sectorBytes !== 0)
    throw new Error(
      `a root file system of ${String(baseBytes)} bytes has no whole number of sectors`,
    );
  const sectors = String(baseBytes / sectorBytes);
  return `0 ${sectors} snapshot ${base} ${overlay} P ${String(chunkSectors)}`;
}
