import { readdir, stat } from "node:fs/promises";
import { hasErrorCode } from "../files/error-code.js";
import { liveTaskOf, readProc, readStat } from "./proc-files.js";

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
  const field = await readStat(pid);
  const state = field?.(3);
  const pidStartTicks = Number(field?.(22));
  // Field 20 counts threads. A killed process is shown as a zombie once its first thread has ended; until the last one has, its sockets
  // and the locks on its disks are held.
  const hasEnded = state === "X" || (state === "Z" && Number(field?.(20)) <= 1);
  if (hasEnded || !Number.isInteger(pidStartTicks)) return undefined;
  return { pid, pidStartTicks };
}

/** Is this very process alive? */
export async function isAlive(identity: ProcessIdentity): Promise<boolean> {
  const current = await identifyProcess(identity.pid);
  return current?.pidStartTicks === identity.pidStartTicks;
}

/** A process and its arguments, the program's name first. */
export interface CommandLine {
  readonly pid: number;
  readonly args: readonly string[];
}

/** Of every process there is. */
export async function readCommandLines(): Promise<readonly CommandLine[]> {
  const found: CommandLine[] = [];
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const pid = Number(entry);
    const args = await readArguments(pid);
    if (args) found.push({ pid, args });
  }
  return found;
}

/** Of one process; none of the kernel's own, `undefined` when it has ended. */
async function readArguments(
  pid: number,
): Promise<readonly string[] | undefined> {
  const text = await readProc(`/proc/${String(pid)}/cmdline`);
  if (text !== "") return text?.split("\0");
  return (await readProc(`${await liveTaskOf(pid)}/cmdline`))?.split("\0");
}

/** Is this option among the arguments, with this value behind it? Pure. */
export function hasOption(
  args: readonly string[],
  name: string,
  value: string,
): boolean {
  return args.some((arg, at) => arg === name && args[at + 1] === value);
}

/** Live processes of this user that have `argument` as one of their arguments. */
export function findByArgument(
  argument: string,
  commandLines?: () => Promise<readonly CommandLine[]>,
): Promise<readonly ProcessIdentity[]> {
  return findByArguments((args) => args.includes(argument), commandLines);
}

/**
 * Live processes of this user whose arguments, the program's name first, satisfy a condition.
 * @param commandLines where the arguments come from; default: read for this call
 */
export function findByArguments(
  matches: (args: readonly string[]) => boolean,
  commandLines?: () => Promise<readonly CommandLine[]>,
): Promise<readonly ProcessIdentity[]> {
  return findProcesses(
    // Anybody may start a program with any arguments.
    async ({ pid, args }) => matches(args) && (await isOwn(pid)),
    commandLines,
  );
}

/**
 * Live processes, whoever's they are, that satisfy a condition.
 * @param commandLines where they come from; default: read for this call
 */
export async function findProcesses(
  matches: (process: CommandLine) => Promise<boolean>,
  commandLines: () => Promise<readonly CommandLine[]> = readCommandLines,
): Promise<readonly ProcessIdentity[]> {
  const found: ProcessIdentity[] = [];
  for (const process of await commandLines()) {
    if (!(await matches(process))) continue;
    const identity = await identifyProcess(process.pid);
    if (identity) found.push(identity);
  }
  return found;
}

/** Is it this user's? In a user namespace of the user it has another uid, one of the user's subordinate ones. */
export async function isOwn(pid: number): Promise<boolean> {
  try {
    // Root may signal everybody's.
    if (process.getuid?.() === 0)
      return (await stat(`/proc/${String(pid)}`)).uid === 0;
    return process.kill(pid, 0);
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
  const field = await readStat(pid);
  return field && { group: Number(field(5)), session: Number(field(6)) };
}

export async function hasArgument(
  pid: number,
  argument: string,
): Promise<boolean> {
  return (await readArguments(pid))?.includes(argument) ?? false;
}

/** Do the arguments of a process, none when it has ended, satisfy a condition? */
export async function hasArguments(
  pid: number,
  matches: (args: readonly string[]) => boolean,
): Promise<boolean> {
  return matches((await readArguments(pid)) ?? []);
}
