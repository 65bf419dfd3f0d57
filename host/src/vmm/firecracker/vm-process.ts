import { rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import type { VmHandles, VmRecord } from "@banger/core";
import { socketPath, vmSocketNames } from "../../paths.js";
import {
  findProcesses,
  hasArguments,
  hasOption,
  isAlive,
  isOwn,
  type CommandLine,
  type ProcessIdentity,
} from "../process-identity.js";
import { holdsListener } from "../process-sockets.js";
import { isJailerOf, jailedApiSocket, jailedVsock } from "./jail.js";
import { jailRootOf } from "./jail-directory.js";
import { hasLostRoot, isInJail, readJailPid } from "./jailed-process.js";

/** The API's socket, or a link to it. */
export function apiSocket(vm: VmRecord): string {
  return socketPath(vm.runtime.runDirectory, vmSocketNames.api);
}

/** The socket of the guest's vsock, or a link to it. */
export function vsockSocket(vm: VmRecord): string {
  return socketPath(vm.runtime.runDirectory, vmSocketNames.vsock);
}

/** Removes both sockets, or what links to them. Idempotent. */
export async function removeSockets(vm: VmRecord): Promise<void> {
  for (const path of [apiSocket(vm), vsockSocket(vm)])
    await rm(path, { force: true });
}

/** Short paths to sockets in a jail, which may lie too deep for a socket's address. */
export async function linkSockets(
  vm: VmRecord,
  jailDirectory: string,
): Promise<void> {
  const root = jailRootOf(jailDirectory);
  await symlink(join(root, jailedApiSocket(vm)), apiSocket(vm));
  await symlink(join(root, jailedVsock(vm)), vsockSocket(vm));
}

/**
 * The Firecracker process of a VM: one of ours with this VM's arguments, or whoever's in this VM's jail; and it holds the API's socket.
 * @param commandLines of every process
 */
export async function findVmProcess(
  vm: VmRecord,
  saved: VmHandles | undefined,
  commandLines: () => Promise<readonly CommandLine[]>,
): Promise<ProcessIdentity | undefined> {
  const socket = boundSocket(vm);
  // Not looked for among all others when it is one of those that would be found.
  if (
    saved &&
    (await isAlive(saved)) &&
    (await isOurs(vm, saved.pid)) &&
    (await holdsListener(saved.pid, socket))
  )
    return saved;
  const { jailDirectory } = vm.runtime;
  const noted = jailDirectory && (await readJailPid(jailDirectory));
  if (
    noted &&
    (await isOurs(vm, noted.pid)) &&
    (await holdsListener(noted.pid, socket))
  )
    return noted;
  for (const candidate of await processesOf(vm, commandLines))
    if (await holdsListener(candidate.pid, socket)) return candidate;
  // Its jail was removed while it ran.
  if (
    saved &&
    jailDirectory !== undefined &&
    (await isVmProcess(vm, saved)) &&
    (await holdsListener(saved.pid, socket))
  )
    return saved;
  return undefined;
}

/** Every process that a launch of this VM started, whether or not it serves its API yet. */
export function processesOf(
  vm: VmRecord,
  commandLines: () => Promise<readonly CommandLine[]>,
): Promise<readonly ProcessIdentity[]> {
  const { jailDirectory } = vm.runtime;
  return findProcesses(async ({ pid, args }) => {
    if (jailDirectory === undefined)
      return hasOwnOptions(vm, args) && isOwn(pid);
    // In the jail it is the only one, whatever a hostile one makes of its arguments.
    return isJailerOf(vm, jailDirectory, args)
      ? isOwn(pid)
      : isInJail(pid, jailDirectory);
  }, commandLines);
}

/**
 * Is this very process alive, and was it started for this VM? In a jail it may have changed its arguments, and not its root, which is the
 * jail's, also after that was removed.
 */
export async function isVmProcess(
  vm: VmRecord,
  identity: ProcessIdentity,
): Promise<boolean> {
  const { pid } = identity;
  const { jailDirectory } = vm.runtime;
  const isMeant =
    jailDirectory === undefined
      ? await hasArguments(pid, (args) => hasOwnOptions(vm, args))
      : (await isInJail(pid, jailDirectory)) || (await hasLostRoot(pid));
  return isMeant && (await isAlive(identity));
}

/** Without a jail a process of this user with this VM's arguments; in it the user is another one. */
async function isOurs(vm: VmRecord, pid: number): Promise<boolean> {
  const { jailDirectory } = vm.runtime;
  if (jailDirectory !== undefined) return isInJail(pid, jailDirectory);
  return (
    (await hasArguments(pid, (args) => hasOwnOptions(vm, args))) &&
    (await isOwn(pid))
  );
}

/** Are these the arguments of a VM's Firecracker without a jail? One alone may be that of a person's own command. */
function hasOwnOptions(vm: VmRecord, args: readonly string[]): boolean {
  return (
    hasOption(args, "--id", vm.id) &&
    hasOption(args, "--api-sock", apiSocket(vm))
  );
}

/** The API's socket as its process names it. */
function boundSocket(vm: VmRecord): string {
  return vm.runtime.jailDirectory === undefined
    ? apiSocket(vm)
    : jailedApiSocket(vm);
}
