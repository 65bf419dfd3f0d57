import { z } from "zod";

/** An element of the sets in which the kernel notes what it refused. */
export const recordedRefusal = z.object({
  address: z.ipv4(),
  /** as nft names it; a number where it has no name */
  protocol: z.string(),
  port: z.int().exactOptional(),
  packets: z.int(),
  /** since the last packet, seconds */
  ageSeconds: z.number(),
});

export type RecordedRefusal = z.output<typeof recordedRefusal>;
