import type { VmId } from "@banger/core";
import { readProc } from "../proc-files.js";
import {
  findProcesses,
  isAlive,
  isOwn,
  type CommandLine,
  type ProcessIdentity,
} from "../process-identity.js";
import { holdsListener } from "../process-sockets.js";
import { isJailerOf } from "./jail.js";
import { jailedApiSocket } from "./jail-sockets.js";
import { hasLostRoot, isInJail, readJailPid } from "./jailed-process.js";

/** The jail of a VM, by which its processes are known. */
export interface Jail {
  readonly id: VmId;
  readonly directory: string;
}

/**
 * The process in a jail that serves its API: what was saved, what is noted in the jail, or whatever is in it.
 * @param commandLines of every process
 */
export async function findJailedProcess(
  jail: Jail,
  saved: ProcessIdentity | undefined,
  commandLines: () => Promise<readonly CommandLine[]>,
): Promise<ProcessIdentity | undefined> {
  const socket = jailedApiSocket(jail);
  // Not looked for among all others when it is one of those that would be found.
  if (
    saved &&
    (await isAlive(saved)) &&
    (await isInJail(saved.pid, jail.directory)) &&
    (await holdsListener(saved.pid, socket))
  )
    return saved;
  const noted = await readJailPid(jail.directory);
  if (
    noted &&
    (await isInJail(noted.pid, jail.directory)) &&
    (await holdsListener(noted.pid, socket))
  )
    return noted;
  for (const candidate of await jailProcesses(jail, commandLines))
    if (await holdsListener(candidate.pid, socket)) return candidate;
  // Its jail was removed while it ran.
  if (
    saved &&
    (await isJailProcess(jail, saved)) &&
    (await holdsListener(saved.pid, socket))
  )
    return saved;
  return undefined;
}

/** Every process that a launch into this jail started, whether or not it serves its API yet. */
export function jailProcesses(
  jail: Jail,
  commandLines: () => Promise<readonly CommandLine[]>,
): Promise<readonly ProcessIdentity[]> {
  return findProcesses(
    async ({ pid, args }) =>
      // Whatever a hostile one makes of its arguments, such as those of a jailer.
      (isJailerOf(jail, jail.directory, args) && (await isOwn(pid))) ||
      (await isInJail(pid, jail.directory)),
    commandLines,
  );
}

/**
 * Is this very process alive, and was it started into this jail? It may have changed its arguments, and not its root, which is the jail's,
 * also after that was removed.
 * @param uid whom processes in the jail run as: in a root that was removed may be somebody else's. Without it anybody's counts
 */
export async function isJailProcess(
  jail: Jail,
  identity: ProcessIdentity,
  uid?: number,
): Promise<boolean> {
  const { pid } = identity;
  const isMeant =
    (await isInJail(pid, jail.directory)) ||
    ((await hasLostRoot(pid)) &&
      (uid === undefined || (await runsAs(pid, uid))));
  return isMeant && (await isAlive(identity));
}

/** With all four of its uids. What it may be dumped by decides over the owner of its directory in proc(5), so that says nothing. */
async function runsAs(pid: number, uid: number): Promise<boolean> {
  const status = await readProc(`/proc/${String(pid)}/status`);
  const uids = /^Uid:\s+(.+)$/m.exec(status ?? "")?.[1]?.split(/\s+/) ?? [];
  return uids.length > 0 && uids.every((each) => Number(each) === uid);
}
