import type { Migration } from "../migration.js";
import { vmsTable } from "./0001-vms.js";
import { vmStatsColumn } from "./0002-vm-stats.js";

/** All migrations, oldest first. Append only. */
export const migrations: readonly Migration[] = [vmsTable, vmStatsColumn];
