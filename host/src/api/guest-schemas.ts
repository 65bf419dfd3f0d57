import { z } from "zod";
import { vmParams } from "./schemas.js";

const port = z.number().int().min(1).max(65_535);

export const forwardBody = z.strictObject({
  port: port.meta({ description: "port of the host" }),
  guestPort: port,
  address: z
    .ipv4()
    .optional()
    .meta({ description: "of the host; the VM's own when absent" }),
  keep: z.boolean().default(false).meta({
    description: "whenever the VM runs; otherwise as long as the client stays",
  }),
});

export const forwardParams = vmParams.extend({
  port: z.coerce.number().int().min(1).max(65_535),
});

/** These describe; what the daemon itself has is not validated again. */
export const pingAnswer = z.object({ roundTripMs: z.number() });

export const healthAnswer = z.object({
  healthy: z.boolean(),
  checks: z.array(
    z.object({
      id: z.string(),
      title: z.string(),
      status: z.enum(["pass", "warn", "fail"]),
      detail: z.string(),
      fix: z.string().exactOptional(),
    }),
  ),
});

export const portsAnswer = z.array(
  z.object({
    protocol: z.enum(["tcp", "udp"]),
    address: z.string().meta({ description: "in the guest" }),
    port,
    process: z.string().exactOptional(),
    scheme: z.enum(["http", "https"]).exactOptional(),
    endpoint: z.string().exactOptional().meta({
      description: "where the host reaches it, such as http://web.vm:8080",
    }),
  }),
);

export const publishedPort = z.object({
  address: z.ipv4(),
  port,
  guestPort: port,
  endpoint: z.string(),
});

export type ForwardBody = z.input<typeof forwardBody>;
