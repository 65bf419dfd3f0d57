import { readFile, readdir, stat } from "node:fs/promises";
import { hasErrorCode } from "../files/error-code.js";

/** A process told apart from a later one with the same pid. */
export interface ProcessIdentity {
  readonly pid: number;
  /** field 22 of proc(5) stat: clock ticks between boot and the start of the process */
  readonly pidStartTicks: number;
}

/** The identity of a live process; `undefined` when there is none, or only a zombie. */
export async function identifyProcess(
  pid: number,
): Promise<ProcessIdentity | undefined> {
  const text = await readProc(`/proc/${String(pid)}/stat`);
  if (text === undefined) return undefined;
  // The second field is the program's name in parentheses and may itself hold spaces and parentheses.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const [state] = fields;
  const pidStartTicks = Number(fields[19]);
  if (state === "Z" || state === "X" || !Number.isInteger(pidStartTicks))
    return undefined;
  return { pid, pidStartTicks };
}

/** Is this very process alive? */
export async function isAlive(identity: ProcessIdentity): Promise<boolean> {
  const current = await identifyProcess(identity.pid);
  return current?.pidStartTicks === identity.pidStartTicks;
}

/** Live processes that have `argument` as one of their arguments. */
export function findByArgument(
  argument: string,
): Promise<readonly ProcessIdentity[]> {
  return findByArguments((args) => args.includes(argument));
}

/** Live processes of this user whose arguments, the program's name first, satisfy a condition. */
export async function findByArguments(
  matches: (args: readonly string[]) => boolean,
): Promise<readonly ProcessIdentity[]> {
  const found: ProcessIdentity[] = [];
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const commandLine = await readProc(`/proc/${entry}/cmdline`);
    if (commandLine === undefined || !matches(commandLine.split("\0")))
      continue;
    // Anybody may start a program with any arguments.
    if (!(await isOwn(entry))) continue;
    const identity = await identifyProcess(Number(entry));
    if (identity) found.push(identity);
  }
  return found;
}

/** Is it this user's? In a user namespace of the user it has another uid, one of the user's subordinate ones. */
async function isOwn(pid: string): Promise<boolean> {
  try {
    // Root may signal everybody's.
    if (process.getuid?.() === 0) return (await stat(`/proc/${pid}`)).uid === 0;
    return process.kill(Number(pid), 0);
  } catch (error) {
    if (hasErrorCode(error, "ENOENT", "ESRCH", "EPERM")) return false;
    throw error;
  }
}

/** Where a process belongs; a command of ours leads both. */
export interface ProcessGroup {
  readonly group: number;
  readonly session: number;
}

/** Group and session of a live process; `undefined` when it has ended. */
export async function processGroupOf(
  pid: number,
): Promise<ProcessGroup | undefined> {
  const text = await readProc(`/proc/${String(pid)}/stat`);
  const fields = text?.slice(text.lastIndexOf(")") + 2).split(" ");
  return fields && { group: Number(fields[2]), session: Number(fields[3]) };
}

export async function hasArgument(
  pid: number,
  argument: string,
): Promise<boolean> {
  const commandLine = await readProc(`/proc/${String(pid)}/cmdline`);
  return commandLine?.split("\0").includes(argument) ?? false;
}

async function readProc(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // ESRCH: it ended between open and read; EACCES: somebody else's.
    if (code === "ENOENT" || code === "ESRCH" || code === "EACCES")
      return undefined;
    throw error;
  }
}
