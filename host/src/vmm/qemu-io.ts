import { abortAfter, isBangerError, type VmIo } from "@banger/core";
import { z } from "zod";
import { hasErrorCode } from "../files/error-code.js";
import { qmpCommand } from "./qmp-client.js";

/** Longest wait for QEMU's counters, ms: it answers within one, and nobody may wait for one that hangs. */
const limitMs = 500;

const bytes = z.int().min(0);

const blockStatsSchema = z.array(
  z.looseObject({
    stats: z.looseObject({ rd_bytes: bytes, wr_bytes: bytes }),
  }),
);

/**
 * What went through the disks of a QEMU's guest; QEMU does not count networks. `undefined` when it does not answer in time, or something
 * else.
 * @see QEMU, docs/interop/qemu-qmp-ref, query-blockstats
 */
export async function readQemuIo(
  socketPath: string,
  owner: AbortSignal,
): Promise<VmIo | undefined> {
  const signal = AbortSignal.any([owner, abortAfter(limitMs)]);
  let answer: unknown;
  try {
    answer = await qmpCommand(socketPath, "query-blockstats", signal);
  } catch (error) {
    // EAGAIN: as many wait for the monitor already as it lets.
    if (
      isBangerError(error) ||
      hasErrorCode(
        error,
        "ENOENT",
        "ECONNREFUSED",
        "EAGAIN",
        "ECONNRESET",
        "EPIPE",
      )
    )
      return undefined;
    throw error;
  }
  const { data } = blockStatsSchema.safeParse(answer);
  if (!data) return undefined;
  return {
    diskReadBytes: data.reduce((sum, { stats }) => sum + stats.rd_bytes, 0),
    diskWrittenBytes: data.reduce((sum, { stats }) => sum + stats.wr_bytes, 0),
  };
}
