import { readdir, readlink } from "node:fs/promises";
import { hasErrorCode } from "../files/error-code.js";
import { liveTaskOf, readProc } from "./proc-files.js";

/** `__SO_ACCEPTCON` of the kernel's include/uapi/linux/net.h: the socket listens. */
const listens = 0x10000;

/** A line of proc(5) net/unix up to the path: Num RefCount Protocol Flags Type St Inode. */
const lineHead =
  /^[0-9a-f]+: [0-9A-F]{8} [0-9A-F]{8} ([0-9A-F]{8}) [0-9A-F]{4} [0-9A-F]{2} +(\d+)$/;

/**
 * Inodes of the sockets that listen at a path, whether or not its file is still there. Pure.
 * @param text proc(5) net/unix
 */
export function listenersAt(path: string, text: string): readonly string[] {
  const found: string[] = [];
  const end = ` ${path}\n`;
  // By the path, not line by line: the kernel writes a path's own line breaks as they are.
  for (let at = text.indexOf(end); at >= 0; at = text.indexOf(end, at + 1)) {
    const head = text.slice(text.lastIndexOf("\n", at) + 1, at);
    const [, flags = "0", inode] = lineHead.exec(head) ?? [];
    if (inode !== undefined && (parseInt(flags, 16) & listens) !== 0)
      found.push(inode);
  }
  return found;
}

/** Does this process of ours hold a socket that listens at `path`, in its own network namespace? */
export async function holdsListener(
  pid: number,
  path: string,
): Promise<boolean> {
  const task = await liveTaskOf(pid);
  const table = await readProc(`${task}/net/unix`);
  const inodes = listenersAt(path, table ?? "");
  if (inodes.length === 0) return false;
  const held = await socketsOf(task);
  // Of a program that its user cannot read, or with capabilities of its own, the kernel shows nobody the descriptors: then somebody
  // listens at the path, and a process of ours that was started to do so is the one.
  return held === "hidden" || inodes.some((inode) => held.has(inode));
}

/** Inodes of the sockets that a process holds, by its directory in proc(5); none when it has ended. */
async function socketsOf(
  task: string,
): Promise<ReadonlySet<string> | "hidden"> {
  const directory = `${task}/fd`;
  const held = new Set<string>();
  try {
    for (const descriptor of await readdir(directory)) {
      const target = await targetOf(`${directory}/${descriptor}`);
      const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
      if (inode !== undefined) held.add(inode);
    }
    return held;
  } catch (error) {
    if (hasErrorCode(error, "EACCES", "EPERM")) return "hidden";
    if (hasErrorCode(error, "ENOENT", "ESRCH")) return held;
    throw error;
  }
}

async function targetOf(link: string): Promise<string> {
  try {
    return await readlink(link);
  } catch (error) {
    // Closed since it was listed.
    if (hasErrorCode(error, "ENOENT")) return "";
    throw error;
  }
}
