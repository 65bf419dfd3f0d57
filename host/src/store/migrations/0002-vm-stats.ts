import type { Migration } from "../migration.js";

/** What was last seen of a VM: beside its record, whose time it does not change. */
export const vmStatsColumn: Migration = {
  version: 2,
  name: "vm-stats",
  sql: `
    ALTER TABLE vms ADD COLUMN stats TEXT
      CHECK (stats IS NULL OR (json_valid(stats) AND json_type(stats) = 'object'));
  `,
};
