import BetterSqlite3 from "better-sqlite3";

/** Held while the process lives; the kernel frees it whatever ends the process. */
export interface InstanceLock {
  release(): void;
}

/**
 * Takes the right to be the only daemon of an install: an exclusive lock on an SQLite file of its own.
 * @returns `undefined` when another process holds it
 */
export function takeInstanceLock(file: string): InstanceLock | undefined {
  const database = new BetterSqlite3(file, { timeout: 0 });
  try {
    database.pragma("locking_mode = EXCLUSIVE");
    database.exec("BEGIN EXCLUSIVE");
  } catch (error) {
    database.close();
    if ((error as { code?: string }).code === "SQLITE_BUSY") return undefined;
    throw error;
  }
  return {
    release: () => {
      database.close();
    },
  };
}
