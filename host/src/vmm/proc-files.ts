import { readFile } from "node:fs/promises";
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
export async function readStat(
  pid: number,
): Promise<((field: number) => string | undefined) | undefined> {
  const text = await readProc(`/proc/${String(pid)}/stat`);
  if (text === undefined) return undefined;
  // The second field is the program's name in parentheses and may itself hold spaces and parentheses.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return (field) => fields[field - 3];
}
