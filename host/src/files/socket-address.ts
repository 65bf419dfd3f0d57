import { constants } from "node:fs";
import { lstat, readlink, type FileHandle } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { descriptorPath, openBeneath, openPath } from "./open-path.js";

/** A unix socket that can be connected to until it is closed. */
export interface SocketAddress {
  readonly path: string;
  /** Idempotent. A connection that was made stays. */
  close(): Promise<void>;
}

/**
 * Where to connect for a socket of a VM: the path itself, or, when it is a link, which only we make, the socket in a jail that it leads to.
 * There its last two steps belong to the process in the jail, which may have put links in their place that lead to sockets of the host:
 * none is followed.
 * @throws the system's own errors; Error when what is there is no socket
 */
export async function openSocketAddress(path: string): Promise<SocketAddress> {
  if (!(await lstat(path)).isSymbolicLink())
    return { path, close: () => Promise.resolve() };
  const target = await readlink(path);
  const directory = dirname(target);
  const { O_DIRECTORY } = constants;
  const root = await openPath(dirname(directory), O_DIRECTORY);
  try {
    const run = await openBeneath(root, basename(directory), O_DIRECTORY);
    try {
      return await socketIn(run, basename(target));
    } finally {
      await run.close();
    }
  } finally {
    await root.close();
  }
}

async function socketIn(
  directory: FileHandle,
  name: string,
): Promise<SocketAddress> {
  const socket = await openBeneath(directory, name);
  try {
    if (!(await socket.stat()).isSocket())
      throw new Error(`${name} in the jail is no socket`);
    return { path: descriptorPath(socket), close: () => socket.close() };
  } catch (error) {
    await socket.close();
    throw error;
  }
}
