import { readdir, readFile } from "node:fs/promises";
import { hasErrorCode } from "../files/error-code.js";

/** A file of proc(5); `undefined` when its process has ended or is somebody else's. */
export async function readProc(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    // ESRCH: it ended between open and read; EACCES: somebody else's.
    if (hasErrorCode(error, "ENOENT", "ESRCH", "EACCES")) return undefined;
    throw error;
  }
}

/** Fields of proc(5) stat by their number there, from 3 on; `undefined` when there is no such process. */
export function readStat(
  pid: number,
): Promise<((field: number) => string | undefined) | undefined> {
  return readStatOf(`/proc/${String(pid)}`);
}

/**
 * Where proc(5) tells of a process: once its first thread has ended, its own directory says nothing of arguments, descriptors and root,
 * and that of a thread that still runs does.
 */
export async function liveTaskOf(pid: number): Promise<string> {
  const own = `/proc/${String(pid)}`;
  if (await isRunning(own)) return own;
  for (const thread of await threadsOf(pid))
    if (await isRunning(`${own}/task/${thread}`))
      return `${own}/task/${thread}`;
  return own;
}

async function threadsOf(pid: number): Promise<readonly string[]> {
  try {
    return await readdir(`/proc/${String(pid)}/task`);
  } catch (error) {
    if (hasErrorCode(error, "ENOENT", "ESRCH", "EACCES")) return [];
    throw error;
  }
}

async function isRunning(task: string): Promise<boolean> {
  const state = (await readStatOf(task))?.(3);
  return state !== undefined && state !== "Z" && state !== "X";
}

async function readStatOf(
  task: string,
): Promise<((field: number) => string | undefined) | undefined> {
  const text = await readProc(`${task}/stat`);
  if (text === undefined) return undefined;
  // The second field is the program's name in parentheses and may itself hold spaces and parentheses.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return (field) => fields[field - 3];
}
