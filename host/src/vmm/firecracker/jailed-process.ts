import { constants, type BigIntStats } from "node:fs";
import { lstat, open, stat } from "node:fs/promises";
import { join } from "node:path";
import { hasErrorCode } from "../../files/error-code.js";
import { liveTaskOf } from "../proc-files.js";
import { identifyProcess, type ProcessIdentity } from "../process-identity.js";
import { jailedProgram, jailRootOf } from "./jail-directory.js";

/** Longest text of a pid. */
const pidBytes = 16;

/**
 * Does a process, whoever's it is, have the root of this jail as its root? Only root can have put it there. False when it has ended, or
 * the jail is gone.
 */
export async function isInJail(
  pid: number,
  jailDirectory: string,
): Promise<boolean> {
  const own = await rootOf(pid);
  const jail = await look(() =>
    lstat(jailRootOf(jailDirectory), { bigint: true }),
  );
  return own !== undefined && jail !== undefined && isSame(own, jail);
}

/** Is a process in a root directory that was removed, as that of a jail is when it is removed too early? False when it has ended. */
export async function hasLostRoot(pid: number): Promise<boolean> {
  return (await rootOf(pid))?.nlink === 0n;
}

/** The root directory of a process, unless it is the host's: in a jail with that one would be every process, and kill ends what is in it. */
async function rootOf(pid: number): Promise<BigIntStats | undefined> {
  const host = await stat("/proc/self/root", { bigint: true });
  const task = await liveTaskOf(pid);
  // Not the path that the link says: in a mount namespace of its own every root is `/`.
  const own = await look(() => stat(`${task}/root`, { bigint: true }));
  return own && !isSame(own, host) ? own : undefined;
}

async function look(
  stats: () => Promise<BigIntStats>,
): Promise<BigIntStats | undefined> {
  try {
    return await stats();
  } catch (error) {
    if (hasErrorCode(error, "ENOENT", "ENOTDIR", "ESRCH", "EACCES", "EPERM"))
      return undefined;
    throw error;
  }
}

function isSame(a: BigIntStats, b: BigIntStats): boolean {
  return a.dev === b.dev && a.ino === b.ino;
}

/** The process that the jailer wrote down in a jail; the process itself can write there too. `undefined` when there is none. */
export async function readJailPid(
  jailDirectory: string,
): Promise<ProcessIdentity | undefined> {
  const path = join(jailRootOf(jailDirectory), `${jailedProgram}.pid`);
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  const file = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK).catch(
    (error: unknown) => {
      if (hasErrorCode(error, "ENOENT", "ENOTDIR", "ELOOP", "ENXIO", "EACCES"))
        return undefined;
      throw error;
    },
  );
  if (!file) return undefined;
  try {
    if (!(await file.stat()).isFile()) return undefined;
    const buffer = Buffer.alloc(pidBytes);
    const { bytesRead } = await file.read({ buffer, position: 0 });
    const text = buffer.toString("latin1", 0, bytesRead).trim();
    if (!/^[1-9]\d{0,9}$/.test(text)) return undefined;
    return await identifyProcess(Number(text));
  } finally {
    await file.close();
  }
}
