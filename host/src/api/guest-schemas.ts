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

export const agentExecBody = z.strictObject({
  argv: z
    .tuple([z.string().min(1)], z.string())
    .refine((argv) => argv.every((word) => !word.includes("\0")), {
      message: "must not contain a NUL character",
    })
    .meta({ description: "program and arguments" }),
  input: z
    .base64()
    .max(700_000)
    .exactOptional()
    .meta({ description: "what it reads; base64" }),
});

export const agentExecAnswer = z.object({
  exitCode: z.number().int().exactOptional(),
  signal: z.string().exactOptional().meta({
    description: "name of the signal that ended it, such as SIGKILL",
  }),
  stdout: z.base64(),
  stderr: z.base64(),
});

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

export const refusalsAnswer = z.object({
  egress: z.object({
    kind: z.enum(["closed", "open", "listed"]),
    allow: z.array(z.string()).exactOptional().meta({
      description: "what the guest may reach; with `listed`",
    }),
    recorded: z.boolean().meta({ description: "are refusals noted?" }),
  }),
  refusals: z.array(
    z.object({
      at: z.string().meta({
        description: "of the last attempt; ISO 8601, UTC",
      }),
      protocol: z.enum(["tcp", "udp", "icmp", "dns", "other"]),
      address: z.ipv4().exactOptional(),
      port: z.number().int().min(0).max(65_535).exactOptional(),
      name: z.string().exactOptional(),
      count: z.number().int(),
    }),
  ),
});

export const publishedPort = z.object({
  address: z.ipv4(),
  port,
  guestPort: port,
  endpoint: z.string(),
});

export type AgentExecBody = z.input<typeof agentExecBody>;

export type AgentExecAnswer = z.output<typeof agentExecAnswer>;

export type ForwardBody = z.input<typeof forwardBody>;
