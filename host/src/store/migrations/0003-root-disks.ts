import type { Migration } from "../migration.js";

/** VMs that were started before a record said how its root disk was made: it was always an overlay. */
export const rootDisksRecorded: Migration = {
  version: 3,
  name: "root-disks",
  sql: `
    UPDATE vms SET runtime = json_set(runtime, '$.rootDisk', 'qcow2')
     WHERE json_extract(runtime, '$.driver') IS NOT NULL
       AND json_extract(runtime, '$.rootDisk') IS NULL;
  `,
};
