import { rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import type { VmHandles, VmRecord } from "@banger/core";
import { socketPath, vmSocketNames } from "../../paths.js";
import {
  findByArguments,
  hasArguments,
  hasOption,
  isAlive,
  isOwn,
  type CommandLine,
  type ProcessIdentity,
} from "../process-identity.js";
import { holdsListener } from "../process-sockets.js";
import { jailRootOf } from "./jail-directory.js";
import {
  findJailedProcess,
  isJailProcess,
  jailProcesses,
  type Jail,
} from "./jail-processes.js";
import { jailedApiSocket, jailedVsock } from "./jail-sockets.js";

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
  const jail = jailOf(vm);
  if (jail) return findJailedProcess(jail, saved, commandLines);
  const socket = apiSocket(vm);
  // Not looked for among all others when it is one of those that would be found.
  if (
    saved &&
    (await isVmProcess(vm, saved)) &&
    (await isOwn(saved.pid)) &&
    (await holdsListener(saved.pid, socket))
  )
    return saved;
  for (const candidate of await processesOf(vm, commandLines))
    if (await holdsListener(candidate.pid, socket)) return candidate;
  return undefined;
}

/** Every process that a launch of this VM started, whether or not it serves its API yet. */
export function processesOf(
  vm: VmRecord,
  commandLines: () => Promise<readonly CommandLine[]>,
): Promise<readonly ProcessIdentity[]> {
  const jail = jailOf(vm);
  return jail
    ? jailProcesses(jail, commandLines)
    : findByArguments((args) => hasOwnOptions(vm, args), commandLines);
}

/** Is this very process alive, and was it started for this VM? */
export async function isVmProcess(
  vm: VmRecord,
  identity: ProcessIdentity,
): Promise<boolean> {
  const jail = jailOf(vm);
  if (jail) return isJailProcess(jail, identity);
  const isMeant = (args: readonly string[]): boolean => hasOwnOptions(vm, args);
  return (
    (await hasArguments(identity.pid, isMeant)) && (await isAlive(identity))
  );
}

/** Are these the arguments of a VM's Firecracker without a jail? One alone may be that of a person's own command. */
function hasOwnOptions(vm: VmRecord, args: readonly string[]): boolean {
  return (
    hasOption(args, "--id", vm.id) &&
    hasOption(args, "--api-sock", apiSocket(vm))
  );
}

function jailOf({ id, runtime }: VmRecord): Jail | undefined {
  const { jailDirectory: directory } = runtime;
  return directory === undefined ? undefined : { id, directory };
}
