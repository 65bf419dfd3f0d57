import { closeSync, openSync } from "node:fs";
import BetterSqlite3 from "better-sqlite3";
import { asDatabaseFault } from "./database-faults.js";
import type { Migration } from "./migration.js";
import { migrations as allMigrations } from "./migrations/index.js";
import { DatabaseTooNewError } from "./store-errors.js";

/** An open connection. Its calls block, so statements are kept short. */
export type Database = BetterSqlite3.Database;

/** How long opening waits for another process's write, ms: nobody else waits meanwhile. */
const openBusyMs = 5_000;

/** How long a statement of the open database blocks the whole process for that, ms; who needs more tries again. */
const busyTimeoutMs = 20;

/**
 * Opens the database and brings its schema up to date. The file is made, mode 0600, when it is absent; its directory must exist.
 * @throws {@link DatabaseTooNewError} when a newer banger wrote it; nothing is changed then
 * @throws DiskFullError when its disk is full
 * @throws StoreBusyError when another program keeps it locked
 * @throws DatabaseUnreadableError when it is no database, damaged, or out of reach
 */
export function openDatabase(
  file: string,
  migrations: readonly Migration[] = allMigrations,
  busyMs: number = openBusyMs,
): Database {
  let database: Database | undefined;
  try {
    // SQLite gives its -wal and -shm files the mode of this one.
    closeSync(openSync(file, "a", 0o600));
    database = new BetterSqlite3(file, { timeout: busyMs });
    // Before anything is written: an older banger leaves a newer file as it is.
    refuseNewer(database, file, migrations);
    database.pragma("journal_mode = WAL");
    // NORMAL may lose the last commits in a power cut, and teardown needs every name that was promised to be durable.
    database.pragma("synchronous = FULL");
    database.pragma("foreign_keys = ON");
    migrate(database, file, migrations);
    database.pragma(`busy_timeout = ${busyTimeoutMs.toString()}`);
    return database;
  } catch (error) {
    database?.close();
    throw asDatabaseFault(`opening the database ${file}`, file, error);
  }
}

/** Each migration has a transaction of its own, so a crash in between leaves a whole schema of some version. */
function migrate(
  database: Database,
  file: string,
  migrations: readonly Migration[],
): void {
  database.exec(`CREATE TABLE IF NOT EXISTS schema_migrations (
    version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at TEXT NOT NULL
  ) STRICT`);
  const record = database.prepare(
    "INSERT INTO schema_migrations (version, name, applied_at) VALUES (?, ?, ?)",
  );
  const apply = database.transaction((migration: Migration) => {
    // Read inside: another process may have migrated while this one waited for the lock.
    refuseNewer(database, file, migrations);
    if (schemaVersion(database) >= migration.version) return;
    database.exec(migration.sql);
    record.run(migration.version, migration.name, new Date().toISOString());
  });
  for (const [index, migration] of migrations.entries()) {
    if (migration.version !== index + 1)
      throw new Error(`migration ${migration.name} is out of order`);
    // Asked here too: whoever holds the write lock must not keep an up-to-date database from being opened.
    if (schemaVersion(database) < migration.version) apply.immediate(migration);
  }
}

function refuseNewer(
  database: Database,
  file: string,
  migrations: readonly Migration[],
): void {
  const found = schemaVersion(database);
  if (found > migrations.length)
    throw new DatabaseTooNewError(file, found, migrations.length);
}

function schemaVersion(database: Database): number {
  const known = database
    .prepare<[], { n: number }>(
      "SELECT count(*) AS n FROM sqlite_schema WHERE name = 'schema_migrations'",
    )
    .get();
  if (known?.n !== 1) return 0;
  return (
    database
      .prepare<[], { version: number | null }>(
        "SELECT max(version) AS version FROM schema_migrations",
      )
      .get()?.version ?? 0
  );
}
