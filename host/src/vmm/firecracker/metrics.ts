import { z } from "zod";
import type { VmIo } from "@banger/core";
import { parseJson } from "../../files/parse-json.js";

/** Increments of the counters that we show; a line has hundreds. */
const bytes = z.int().min(0);
const lineSchema = z.looseObject({
  // The sums over all devices; those of each device are beside them.
  block: z.looseObject({ read_bytes: bytes, write_bytes: bytes }),
  net: z.looseObject({ rx_bytes_count: bytes, tx_bytes_count: bytes }),
});

/** Sums of everything that went through a guest's devices. */
export type IoTotals = Required<VmIo>;

export const noIo: IoTotals = {
  diskReadBytes: 0,
  diskWrittenBytes: 0,
  networkReceivedBytes: 0,
  networkSentBytes: 0,
};

/**
 * Reads one line of Firecracker's metrics. Pure; any text is fine.
 * @returns what went through since the line before; `undefined` when it is no such line
 * @see Firecracker, docs/metrics.md
 */
export function parseMetricsLine(line: string): IoTotals | undefined {
  // Behind an emptied log's hole: Firecracker goes on writing where it was.
  const value = parseJson(line.replace(/^\0+/, ""));
  const { data } = lineSchema.safeParse(value);
  return (
    data && {
      diskReadBytes: data.block.read_bytes,
      diskWrittenBytes: data.block.write_bytes,
      networkReceivedBytes: data.net.rx_bytes_count,
      networkSentBytes: data.net.tx_bytes_count,
    }
  );
}

/** Pure. Sums stay numbers that can be added to. */
export function addIo(a: IoTotals, b: IoTotals): IoTotals {
  const sum = (key: keyof IoTotals): number =>
    Math.min(a[key] + b[key], Number.MAX_SAFE_INTEGER);
  return {
    diskReadBytes: sum("diskReadBytes"),
    diskWrittenBytes: sum("diskWrittenBytes"),
    networkReceivedBytes: sum("networkReceivedBytes"),
    networkSentBytes: sum("networkSentBytes"),
  };
}
