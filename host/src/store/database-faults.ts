import { setTimeout as sleep } from "node:timers/promises";
import { StoreBusyError } from "@banger/core";
import BetterSqlite3 from "better-sqlite3";
import { asDiskFull } from "../files/disk-full.js";
import { DatabaseUnreadableError } from "./store-errors.js";

/** How often a statement that met another program's lock is tried again, ms. */
const busyPauseMs = 50;

/** Does another program hold a lock that the statement needs? */
function isBusy(error: unknown): boolean {
  return (
    error instanceof BetterSqlite3.SqliteError &&
    /^SQLITE_(BUSY|LOCKED)/.test(error.code)
  );
}

/** A fault of file, disk or lock; a wrong statement of ours is not. */
function isEnvironmental(error: unknown): boolean {
  if (error instanceof BetterSqlite3.SqliteError)
    return /^SQLITE_(NOTADB|CORRUPT|CANTOPEN|IOERR|READONLY|PERM|AUTH|PROTOCOL)/.test(
      error.code,
    );
  return error instanceof Error && "syscall" in error;
}

/**
 * The error to throw instead: DiskFullError, StoreBusyError or {@link DatabaseUnreadableError} when that is what happened, else the same.
 * @param what what was being done, such as "writing the record of a VM"
 */
export function asDatabaseFault(
  what: string,
  file: string,
  error: unknown,
): unknown {
  if (isBusy(error)) return new StoreBusyError(file, error);
  const fault = asDiskFull(what, error);
  return isEnvironmental(fault)
    ? new DatabaseUnreadableError(file, fault)
    : fault;
}

/**
 * Runs what is synchronous and may meet another program's lock: again and again, while the daemon answers others in between.
 * @throws what `work` throws, that it is busy only after `limitMs`
 */
export async function retryWhileBusy<T>(
  limitMs: number,
  work: () => T,
): Promise<T> {
  const deadline = performance.now() + limitMs;
  for (;;) {
    try {
      return work();
    } catch (error) {
      if (!isBusy(error) || performance.now() >= deadline) throw error;
    }
    await sleep(busyPauseMs);
  }
}
