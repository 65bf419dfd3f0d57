import { isVmId, type VmRecord } from "@banger/core";
import type { z } from "zod";
import { parseJson } from "../files/parse-json.js";
import {
  vmRuntimeSchema,
  vmSpecSchema,
  vmStateSchema,
  vmStatsSchema,
  vmWorkspaceSchema,
} from "./vm-record-schema.js";

/** A row of the table `vms`. */
export interface VmRow {
  readonly id: string;
  readonly name: string;
  readonly lease: number;
  readonly image_id: string;
  readonly state: string;
  readonly created_at: string;
  readonly updated_at: string;
  readonly spec: string;
  readonly runtime: string;
  readonly workspace: string | null;
  readonly stats: string | null;
}

/** The columns that a change of the record writes. */
export type VmRecordColumns = Omit<VmRow, "lease" | "stats">;

/** Where a VM's directories are, when its row no longer says. */
export type DirectoriesOf = (id: VmRecord["id"]) => {
  readonly directory: string;
  readonly runDirectory: string;
};

/** A record and the fields of its row that could not be read, dotted. */
export interface ReadRow {
  readonly vm: VmRecord;
  readonly damaged: readonly string[];
}

/**
 * Reads a row. A damaged one is no error: what is readable is kept, the rest replaced by harmless values, and the record is in state
 * `error` and says so. So one bad row hides no other VM, and the VM can still be inspected, cleaned up from the names that are left,
 * and deleted.
 * @throws Error when id is no VM id, which the table's own check rules out
 */
export function readVmRow(row: VmRow, directoriesOf: DirectoriesOf): ReadRow {
  const { id } = row;
  if (!isVmId(id)) throw new Error(`row with the id ${JSON.stringify(id)}`);
  const damaged: string[] = [];

  const spec = readFields("spec", row.spec, vmSpecSchema, damaged, {
    image: "unknown",
    vcpus: 1,
    memoryMiB: 512,
    diskSizeBytes: 2 ** 30,
    nat: false,
    plugins: [],
    accel: "auto",
    driver: "auto",
    ephemeral: false,
  });
  const runtime = readFields("runtime", row.runtime, vmRuntimeSchema, damaged, {
    ...directoriesOf(id),
    guestIp: "0.0.0.0",
    // Nothing listens there: a connection fails at once instead of reaching somebody else.
    ssh: { host: "127.0.0.1", port: 1 },
    dnsName: `${row.name}.vm`,
    networkMode: "unknown",
    startedPlugins: [],
    teardown: {},
  });
  const workspace =
    row.workspace === null
      ? undefined
      : vmWorkspaceSchema.safeParse(parseJson(row.workspace));
  if (workspace?.success === false) damaged.push("workspace");
  const state = vmStateSchema.safeParse(row.state);
  if (!state.success) damaged.push("state");

  // What was seen is seen again soon: damage of it is not the VM's.
  const stats = vmStatsSchema.safeParse(parseJson(row.stats ?? "")).data;

  const vm: VmRecord = {
    id,
    name: row.name,
    imageId: row.image_id,
    state: state.data ?? "error",
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    spec,
    runtime,
    ...(workspace?.success ? { workspace: workspace.data } : {}),
    ...(stats === undefined ? {} : { stats }),
  };
  if (damaged.length === 0) return { vm, damaged };
  const lastError = `the record is damaged (${damaged.join(", ")}): delete this VM`;
  return {
    vm: { ...vm, state: "error", runtime: { ...vm.runtime, lastError } },
    damaged,
  };
}

/** The columns that hold a record's values; the lease is not part of a record, and stats are written by themselves. */
export function renderVmRow(vm: VmRecord): VmRecordColumns {
  return {
    id: vm.id,
    name: vm.name,
    image_id: vm.imageId,
    state: vm.state,
    created_at: vm.createdAt,
    updated_at: vm.updatedAt,
    spec: JSON.stringify(vm.spec),
    runtime: JSON.stringify(vm.runtime),
    workspace: vm.workspace === undefined ? null : JSON.stringify(vm.workspace),
  };
}

/** The whole object when it fits, else field by field: each that fits, and the fallback of each that does not. */
function readFields<Schema extends z.ZodObject>(
  column: string,
  text: string,
  schema: Schema,
  damaged: string[],
  fallback: z.output<Schema>,
): z.output<Schema> {
  const value = parseJson(text);
  const whole = schema.safeParse(value);
  if (whole.success) return whole.data;
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    damaged.push(column);
    return fallback;
  }
  const fields: Record<string, unknown> = { ...value };
  const replacements: Readonly<Record<string, unknown>> = fallback;
  for (const [key, field] of Object.entries(schema.shape)) {
    if ((field as z.ZodType).safeParse(fields[key]).success) continue;
    damaged.push(`${column}.${key}`);
    if (key in replacements) fields[key] = replacements[key];
    else Reflect.deleteProperty(fields, key);
  }
  return fields as z.output<Schema>;
}
