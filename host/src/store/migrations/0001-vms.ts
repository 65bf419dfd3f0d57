import type { Migration } from "../migration.js";

/**
 * `seq` grows with every insert and so orders by age. The lease is a column of the row: it is taken and freed with it. `state` has no
 * check here because a list of states in SQL could only be changed by rebuilding the table.
 */
export const vmsTable: Migration = {
  version: 1,
  name: "vms",
  sql: `
    CREATE TABLE vms (
      seq        INTEGER PRIMARY KEY AUTOINCREMENT,
      id         TEXT NOT NULL UNIQUE
                 CHECK (length(id) = 12 AND id NOT GLOB '*[^0-9a-f]*'),
      name       TEXT NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 63),
      lease      INTEGER NOT NULL UNIQUE CHECK (lease BETWEEN 1 AND 60000),
      image_id   TEXT NOT NULL,
      state      TEXT NOT NULL,
      created_at TEXT NOT NULL,
      updated_at TEXT NOT NULL,
      spec       TEXT NOT NULL
                 CHECK (json_valid(spec) AND json_type(spec) = 'object'),
      runtime    TEXT NOT NULL
                 CHECK (json_valid(runtime) AND json_type(runtime) = 'object'),
      workspace  TEXT
                 CHECK (workspace IS NULL OR
                        (json_valid(workspace) AND json_type(workspace) = 'object'))
    ) STRICT;
    CREATE INDEX vms_image ON vms (image_id);
  `,
};
