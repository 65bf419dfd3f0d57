import type { Migration } from "../migration.js";
import { vmsTable } from "./0001-vms.js";

/** All migrations, oldest first. Append only. */
export const migrations: readonly Migration[] = [vmsTable];
