import { constants } from "node:fs";
import { lstat, open, readlink, type FileHandle } from "node:fs/promises";
import { basename, dirname } from "node:path";

/** open(2): a handle of the file itself, of whatever kind, without opening it. Node.js has no name for it. */
const O_PATH = 0o10000000;

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
  const root = await open(dirname(directory), O_PATH | O_DIRECTORY);
  try {
    const run = await step(root, basename(directory), O_DIRECTORY);
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
  const socket = await step(directory, name);
  try {
    if (!(await socket.stat()).isSocket())
      throw new Error(`${name} in the jail is no socket`);
    return { path: pathOf(socket), close: () => socket.close() };
  } catch (error) {
    await socket.close();
    throw error;
  }
}

function step(
  directory: FileHandle,
  name: string,
  flags = 0,
): Promise<FileHandle> {
  const path = `${pathOf(directory)}/${name}`;
  return open(path, O_PATH | constants.O_NOFOLLOW | flags);
}

function pathOf({ fd }: FileHandle): string {
  return `/proc/self/fd/${String(fd)}`;
}
