import { vmmSignals } from "@banger/core";
import { z } from "zod";
import {
  vmRuntimeSchema,
  vmSpecSchema,
  vmStateSchema,
  vmStatsSchema,
  vmWorkspaceSchema,
} from "../store/vm-record-schema.js";

/** Sizes and names are text as the user wrote it: the daemon is the one place that parses and explains. */
export const createVmBody = z.strictObject({
  name: z.string().optional(),
  image: z.string().optional(),
  vcpus: z.number().optional().meta({ description: "number of vCPUs" }),
  memory: z
    .string()
    .optional()
    .meta({ description: "guest memory, such as 2G; a bare number is MiB" }),
  diskSize: z
    .string()
    .optional()
    .meta({ description: "size of the disk at /root, such as 8G" }),
  nat: z
    .boolean()
    .optional()
    .meta({ description: "may the guest open connections to the outside?" }),
  ephemeral: z
    .boolean()
    .optional()
    .meta({ description: "delete when its last session ends" }),
  plugins: z
    .array(z.string())
    .optional()
    .meta({ description: "added to the enabled plugins" }),
  withoutPlugins: z
    .array(z.string())
    .optional()
    .meta({ description: "left out of the enabled plugins" }),
  start: z.boolean().default(true),
  accel: z.enum(["auto", "kvm", "emulate"]).optional(),
  driver: z
    .string()
    .optional()
    .meta({ description: "the VMM that runs it: auto, firecracker, qemu" }),
});

export const changeVmBody = z.strictObject({
  name: z
    .string()
    .optional()
    .meta({ description: "new name of a VM that does not run" }),
  vcpus: z.number().optional(),
  memory: z.string().optional(),
  diskSize: z.string().optional(),
  nat: z.boolean().optional(),
});

export const stopVmBody = z
  .strictObject({ force: z.boolean().default(false) })
  .default({ force: false });

export const killVmBody = z
  .strictObject({
    signal: z
      .enum(vmmSignals)
      .default("KILL")
      .meta({ description: "for the VMM process" }),
  })
  .default({ signal: "KILL" });

export const pruneVmsBody = z.strictObject({
  ids: z
    .array(z.string().regex(/^[0-9a-f]{12}$/))
    .max(10_000)
    .meta({ description: "whole ids; one that runs by now is left alone" }),
});

export const vmParams = z.strictObject({ vm: z.string().min(1).max(128) });
export const imageParams = z.strictObject({
  image: z.string().min(1).max(128),
});
export const pluginParams = z.strictObject({
  plugin: z.string().min(1).max(64),
});
export const operationParams = z.strictObject({
  operation: z.string().min(1).max(64),
});
export const logsQuery = z.strictObject({
  follow: z.enum(["true", "false"]).default("false"),
  lines: z.coerce.number().int().min(1).max(100_000).default(10_000),
});

export const errorReport = z.object({
  code: z.string(),
  kind: z.enum([
    "usage",
    "not-found",
    "conflict",
    "unavailable",
    "cancelled",
    "failed",
  ]),
  message: z.string(),
  hint: z.string().optional(),
  details: z.array(z.string()).optional(),
  operationId: z.string().optional(),
});

/** A VM as every route about VMs answers with it. It describes; what the daemon itself has is not validated again. */
export const vmRecord = z.looseObject({
  id: z.string().regex(/^[0-9a-f]{12}$/),
  name: z.string(),
  imageId: z.string(),
  state: vmStateSchema,
  createdAt: z.string().meta({ description: "ISO 8601, UTC" }),
  updatedAt: z.string().meta({ description: "ISO 8601, UTC" }),
  spec: vmSpecSchema,
  runtime: vmRuntimeSchema.extend({
    teardown: z.record(z.string(), z.unknown()).meta({
      description: "JSON of each plugin, by plugin id",
    }),
  }),
  workspace: vmWorkspaceSchema.exactOptional(),
  stats: vmStatsSchema.exactOptional(),
});

/** A line of an operation's NDJSON stream. @param value what it comes to */
export function operationEvents<T extends z.ZodType>(value: T) {
  return z.discriminatedUnion("type", [
    z.object({ type: z.literal("begin"), operationId: z.string() }),
    z.object({
      type: z.literal("progress"),
      stage: z.string(),
      text: z.string(),
      elapsedMs: z.number(),
    }),
    z.object({
      type: z.literal("result"),
      value,
      elapsedMs: z.number(),
    }),
    z.object({ type: z.literal("error"), error: errorReport }),
  ]);
}

export const operationEvent = operationEvents(z.unknown());

export type CreateVmBody = z.input<typeof createVmBody>;
export type ChangeVmBody = z.input<typeof changeVmBody>;
export type KillVmBody = z.input<typeof killVmBody>;
export type PruneVmsBody = z.input<typeof pruneVmsBody>;
export type OperationEvent = z.output<typeof operationEvent>;
