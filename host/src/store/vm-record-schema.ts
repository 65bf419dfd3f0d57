import type {
  Json,
  VmRuntime,
  VmSpec,
  VmStats,
  VmWorkspace,
} from "@banger/core";
import { z } from "zod";

// Loose objects: a field that a newer banger wrote survives our reading and writing the row. `satisfies` fails the build when the
// model gains a field that is not here; such a field needs a default, because older rows lack it.

const json: z.ZodType<Json> = z.json();
const timelineEntry = z.looseObject({
  kind: z.enum(["stage", "hook"]),
  name: z.string(),
  startMs: z.number(),
  durationMs: z.number(),
  failed: z.literal(true).exactOptional(),
});

const time = z.string().max(64);
const port = z.int().min(1).max(65535);
const bytes = z.int().min(0);
const load = z.number().min(0);

export const vmStateSchema = z.enum(["created", "running", "stopped", "error"]);

export const vmSpecSchema = z.looseObject({
  image: z.string(),
  vcpus: z.int().min(1),
  memoryMiB: z.int().min(1),
  diskSizeBytes: z.int().min(1),
  nat: z.boolean(),
  plugins: z.array(z.string()),
  accel: z.enum(["auto", "kvm", "emulate"]),
  // Rows from before there was a choice.
  driver: z.string().default("auto"),
  ephemeral: z.boolean(),
}) satisfies z.ZodType<VmSpec>;

export const vmRuntimeSchema = z.looseObject({
  directory: z.string().startsWith("/"),
  runDirectory: z.string().startsWith("/"),
  guestIp: z.string(),
  ssh: z.looseObject({ host: z.string(), port }),
  dnsName: z.string(),
  networkMode: z.string(),
  driver: z.string().exactOptional(),
  accel: z.string().exactOptional(),
  tapDevice: z.string().exactOptional(),
  vsockCid: z.int().exactOptional(),
  jailDirectory: z.string().startsWith("/").exactOptional(),
  rootDisk: z.enum(["qcow2", "reflink", "snapshot", "copy"]).exactOptional(),
  baseLoop: z.string().exactOptional(),
  cowLoop: z.string().exactOptional(),
  dmName: z.string().exactOptional(),
  dmDevice: z.string().exactOptional(),
  startedPlugins: z.array(z.string()),
  teardown: z.record(z.string(), json),
  lastError: z.string().exactOptional(),
  lastStart: z.array(timelineEntry).exactOptional(),
  provisional: z.literal(true).exactOptional(),
  prepared: z.literal(true).exactOptional(),
  changing: vmSpecSchema.exactOptional(),
  deleting: z.literal(true).exactOptional(),
  problems: z.array(z.string().max(10_000)).max(1_000).exactOptional(),
  lastUsedAt: time.exactOptional(),
  forwards: z
    .array(z.looseObject({ address: z.ipv4(), port, guestPort: port }))
    .max(1_000)
    .exactOptional(),
}) satisfies z.ZodType<VmRuntime>;

export const vmWorkspaceSchema = z.looseObject({
  guestPath: z.string(),
  sourcePath: z.string(),
}) satisfies z.ZodType<VmWorkspace>;

export const vmStatsSchema = z.looseObject({
  collectedAt: time,
  cpuPercent: z.number().min(0).exactOptional(),
  residentBytes: bytes,
  diskBytes: bytes,
  io: z
    .looseObject({
      diskReadBytes: bytes,
      diskWrittenBytes: bytes,
      networkReceivedBytes: bytes.exactOptional(),
      networkSentBytes: bytes.exactOptional(),
    })
    .exactOptional(),
  guest: z
    .looseObject({
      memoryTotalBytes: bytes,
      memoryAvailableBytes: bytes,
      loadAverage: z.tuple([load, load, load]),
    })
    .exactOptional(),
}) satisfies z.ZodType<VmStats>;
