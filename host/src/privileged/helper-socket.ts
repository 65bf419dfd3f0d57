import { closeSync, constants, openSync } from "node:fs";
import { chmod, chown, lstat, mkdir, rename, rm } from "node:fs/promises";
import { connect, type Server } from "node:net";
import { dirname, join } from "node:path";
import { hasErrorCode } from "../files/error-code.js";
import { requireRootOwned } from "../files/root-owned.js";
import type { Libc } from "./libc.js";
import {
  HelperRunningError,
  PrivilegedSocketError,
} from "./privileged-errors.js";

/** Of the socket's directory: others may pass through, and not look. */
const directoryMode = 0o711;

/** Connections that the kernel holds until the helper takes them. */
const backlog = 512;

/** A socket that is listened on, and its directory's lock. */
export interface HelperSocket {
  /** Takes the socket away, when it is still this one. Idempotent. */
  remove(): Promise<void>;
  /** Lets another helper take the place: when nothing is carried out here any more. Idempotent. */
  unlock(): void;
}

/**
 * Makes a server listen on a socket that belongs to the install's owner and has mode 0600 before anybody can reach it: it comes to life in
 * a directory of root's alone, and is moved into its place when all is set. A socket that nobody answers on is replaced.
 * @param socketPath its directory is made when it is missing, and must be root's, mode 0711
 * @throws HelperRunningError, PrivilegedSocketError, NotRootOwnedError
 */
export async function listenForOwner(
  server: Server,
  options: {
    readonly socketPath: string;
    readonly owner: { readonly uid: number; readonly gid: number };
    readonly libc: Libc;
  },
): Promise<HelperSocket> {
  const { socketPath, owner, libc } = options;
  const directory = dirname(socketPath);
  await ensureSocketDirectory(directory);
  const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants;
  const lock = openSync(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  try {
    // Held until the end of this process, so that two that start together do not both find the place empty.
    if (!libc.tryLock(lock)) throw new HelperRunningError(socketPath);
    await requireVacant(socketPath);
    const staging = join(directory, ".new");
    await rm(staging, { recursive: true, force: true });
    await mkdir(staging, { mode: 0o700 });
    const fresh = join(staging, "helper.sock");
    await listen(server, fresh);
    await chown(fresh, owner.uid, owner.gid);
    await chmod(fresh, 0o600);
    const { ino, dev } = await lstat(fresh);
    await rename(fresh, socketPath);
    await rm(staging, { recursive: true, force: true });
    return helperSocket(socketPath, { ino, dev }, lock);
  } catch (error) {
    server.close();
    closeSync(lock);
    throw error;
  }
}

/**
 * Looks whether a socket is the one that an install's root helper made for this user: in a directory that only root can change.
 * @throws PrivilegedSocketError, NotRootOwnedError; the system's own error when there is none
 */
export async function requireHelperSocket(
  socketPath: string,
  uid: number,
): Promise<void> {
  const found = await lstat(socketPath);
  await requireRootOwned(dirname(socketPath));
  if (!found.isSocket())
    throw new PrivilegedSocketError(socketPath, "is no socket");
  if (found.uid !== uid)
    throw new PrivilegedSocketError(
      socketPath,
      `belongs to uid ${String(found.uid)} and not to ${String(uid)}`,
    );
}

async function ensureSocketDirectory(directory: string): Promise<void> {
  try {
    await mkdir(directory, { mode: directoryMode });
  } catch (error) {
    if (!hasErrorCode(error, "EEXIST")) throw error;
  }
  await requireRootOwned(directory);
  const found = await lstat(directory);
  const mode = found.mode & 0o7777;
  if (!found.isDirectory())
    throw new PrivilegedSocketError(directory, "is no directory");
  if (mode !== directoryMode)
    throw new PrivilegedSocketError(
      directory,
      `has mode ${mode.toString(8)} and not ${directoryMode.toString(8)}`,
    );
}

/** @throws HelperRunningError when somebody answers there, PrivilegedSocketError when it is no socket */
async function requireVacant(socketPath: string): Promise<void> {
  try {
    if (!(await lstat(socketPath)).isSocket())
      throw new PrivilegedSocketError(socketPath, "is no socket");
  } catch (error) {
    if (hasErrorCode(error, "ENOENT")) return;
    throw error;
  }
  if (await answers(socketPath)) throw new HelperRunningError(socketPath);
}

function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = connect(socketPath);
    probe.on("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.on("error", (error) => {
      // Somebody's queue that is full is somebody's.
      if (hasErrorCode(error, "EAGAIN")) resolve(true);
      else if (hasErrorCode(error, "ECONNREFUSED", "ENOENT")) resolve(false);
      else reject(error);
    });
  });
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ path, backlog }, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

function helperSocket(
  socketPath: string,
  made: { readonly ino: number; readonly dev: number },
  lock: number,
): HelperSocket {
  let isLocked = true;
  return {
    remove: async () => {
      try {
        const { ino, dev } = await lstat(socketPath);
        if (ino === made.ino && dev === made.dev) await rm(socketPath);
      } catch (error) {
        if (!hasErrorCode(error, "ENOENT")) throw error;
      }
    },
    unlock: () => {
      if (isLocked) closeSync(lock);
      isLocked = false;
    },
  };
}
