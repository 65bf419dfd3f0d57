import { expect, it } from "vitest";
import { overlayBytes } from "../../src/disks/snapshot-overlay.js";

const chunk = 4096;
const exceptionsPerArea = 256;

/** Chunks that the kernel uses once each of `count` chunks was written: dm-snap-persistent.c, told step by step. */
function chunksInUse(count: number): number {
  // The header, and the first area, which is cleared at the first use.
  let end = 2;
  let next = 2;
  for (let written = 1; written <= count; written++) {
    end = Math.max(end, next + 1);
    next += 1;
    if (next % (exceptionsPerArea + 1) === 1) next += 1;
    // A full area has the one behind it cleared.
    if (written % exceptionsPerArea === 0) {
      const area = written / exceptionsPerArea;
      end = Math.max(end, 1 + (exceptionsPerArea + 1) * area + 1);
    }
  }
  return end;
}

it.each([1, 2, 255, 256, 257, 511, 512, 513, 262_144, 1_048_576])(
  "is exactly what a guest needs that writes all of %d chunks",
  (chunks) => {
    expect(overlayBytes(chunks * chunk)).toBe(chunksInUse(chunks) * chunk);
  },
);

it("counts the rest of a chunk as a chunk", () => {
  expect(overlayBytes(chunk + 512)).toBe(overlayBytes(2 * chunk));
});
