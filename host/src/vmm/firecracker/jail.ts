import { chmod, chown, copyFile, link, mkdir, open } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type {
  CommandRunner,
  MachineConfig,
  VmId,
  VmRecord,
} from "@banger/core";
import { vmFileNames } from "../../files/vm-files.js";
import { hasErrorCode } from "../../files/error-code.js";
import { hasOption } from "../process-identity.js";
import { cgroupLimits } from "./jail-cgroup.js";
import {
  jailedProgram,
  jailRootOf,
  removeJailDirectory,
  requireSafeDirectory,
} from "./jail-directory.js";
import { JailUnusableError, otherBaseHint } from "./jail-errors.js";
import {
  placeInJail,
  type JailFile,
  type JailSource,
  type JailUsers,
} from "./jail-files.js";
import type { JailOwner } from "./jail-owner.js";
import { claimSockets, jailedApiSocket, jailedVsock } from "./jail-sockets.js";
import type { MachinePaths } from "./machine-requests.js";
import { firecrackerArguments } from "./process-arguments.js";

/** Paths in every jail, as its process sees them. */
const inJail = {
  kernel: "/boot/kernel",
  initrd: "/initrd",
  log: "/firecracker.log",
  metrics: "/firecracker.metrics",
} as const;

/** What a jail's machine is configured with. Pure. */
export function jailedPaths(vm: VmRecord): MachinePaths {
  return {
    ...inJail,
    vsock: jailedVsock(vm),
    drive: (id) => `/drives/${id}`,
  };
}

/** What is to be in a VM's jail. */
export interface JailContents {
  readonly id: VmId;
  /** the VM's own */
  readonly directory: string;
  /** on the host */
  readonly kernel: string;
  /** by drive id */
  readonly drives: Readonly<
    Record<string, { readonly source: JailSource; readonly readOnly: boolean }>
  >;
}

/** Who has to do with a jail. */
export interface JailParties extends JailUsers {
  /** whose sockets those in it are, and who may enter it to reach them */
  readonly install: JailOwner;
}

/**
 * Makes a VM's jail with everything in it that its process opens; what is left of one before is removed. Its process can change what the
 * VM writes and the directory of its sockets, nothing else once {@link lockJail} was called.
 * @throws JailUnusableError, ForeignFileError
 */
export async function makeJail(
  jailDirectory: string,
  { id, directory, kernel, drives }: JailContents,
  parties: JailParties,
  commands: CommandRunner,
  signal: AbortSignal,
): Promise<void> {
  const { owner, install } = parties;
  await makeParent(dirname(jailDirectory));
  await removeJailDirectory(jailDirectory, id);
  // Closed until all is in it: a file whose directory its owner may not enter has a name here before it is looked at.
  await mkdir(jailDirectory, { mode: 0o700 });
  const root = jailRootOf(jailDirectory);
  await mkdir(root, { mode: 0o755 });
  await mkdir(join(root, "run"), { mode: 0o700 });
  await chown(join(root, "run"), owner.uid, owner.gid);
  const own = (name: string, target: string, readOnly = false): JailFile => ({
    source: { kind: "own", path: join(directory, name) },
    target: join(root, target),
    readOnly,
  });
  for (const file of [
    {
      source: { kind: "shared", path: kernel } as const,
      target: join(root, inJail.kernel),
      readOnly: true,
    },
    own(vmFileNames.bootInitrd, inJail.initrd, true),
    own(vmFileNames.firecrackerLog, inJail.log),
    own(vmFileNames.firecrackerMetrics, inJail.metrics),
    ...Object.entries(drives).map(([drive, { source, readOnly }]) => ({
      source,
      target: join(root, `/drives/${drive}`),
      readOnly,
    })),
  ])
    await placeInJail(file, parties, commands, signal);
  // Whoever may enter it meets files that belong to the process in it.
  if (install.uid !== 0) {
    await chown(jailDirectory, process.getuid?.() ?? 0, install.gid);
    await chmod(jailDirectory, 0o710);
  }
}

/**
 * Notes that a process is about to be launched into a jail, out of that one's sight. Its root directory belongs to it from then on, and the
 * jailer, which follows links as root, must not meet a second time what it has made of it.
 * @throws JailUnusableError when one was launched before
 */
export async function beginLaunch(jailDirectory: string): Promise<void> {
  try {
    const mark = await open(join(jailDirectory, "launched"), "wx", 0o600);
    await mark.close();
  } catch (error) {
    if (!hasErrorCode(error, "EEXIST")) throw error;
    throw new JailUnusableError(
      jailDirectory,
      "has had a process before",
      "Start the VM again",
      error,
    );
  }
}

/**
 * Takes the root directory back from the jail's user, to whom the jailer gives it: whatever the guest makes of its VMM later, paths in the
 * jail lead where they led. Then gives its sockets to the install's owner. To be called once the process is configured and before it runs
 * a guest.
 * @throws ForeignFileError
 */
export async function lockJail(
  jailDirectory: string,
  id: VmId,
  { owner, install }: Pick<JailParties, "owner" | "install">,
): Promise<void> {
  const root = jailRootOf(jailDirectory);
  await chown(root, process.getuid?.() ?? 0, process.getgid?.() ?? 0);
  await chmod(root, 0o755);
  await claimSockets(jailDirectory, id, owner, install);
}

/** The directory of all jails. Whatever of its path is there is looked at first, so that nothing is made behind a link. */
async function makeParent(parent: string): Promise<void> {
  if (await requireSafeDirectory(parent)) return;
  try {
    await mkdir(parent, { recursive: true, mode: 0o755 });
  } catch (error) {
    if (!hasErrorCode(error, "EACCES", "EROFS", "EPERM")) throw error;
    throw new JailUnusableError(parent, "cannot be made", otherBaseHint, error);
  }
}

/**
 * The program under the name that the jailer's directory has: it follows links and takes the name of what it finds. Another one is put
 * into the jail's directory, out of sight of its process.
 */
export async function programForJail(
  program: string,
  jailDirectory: string,
): Promise<string> {
  if (basename(program) === jailedProgram) return program;
  const named = join(jailDirectory, jailedProgram);
  try {
    await link(program, named);
  } catch (error) {
    if (!hasErrorCode(error, "EXDEV", "EPERM", "EMLINK")) throw error;
    await copyFile(program, named);
    await chmod(named, 0o755);
  }
  return named;
}

/**
 * The jailer's arguments. Pure.
 * @see Firecracker, docs/jailer.md
 */
export function jailerArguments(options: {
  readonly id: VmId;
  readonly machine: Pick<MachineConfig, "memoryMiB" | "vcpus">;
  readonly jailDirectory: string;
  /** as {@link programForJail} says */
  readonly program: string;
  readonly owner: JailOwner;
  /** is there cgroup v2? */
  readonly limits: boolean;
}): readonly string[] {
  const { id, machine, jailDirectory, program, owner, limits } = options;
  const cgroups = cgroupLimits(machine).flatMap((limit) => ["--cgroup", limit]);
  return [
    ...["--id", id, "--exec-file", program],
    ...["--uid", String(owner.uid), "--gid", String(owner.gid)],
    ...["--chroot-base-dir", baseOf(jailDirectory)],
    ...(limits ? ["--cgroup-version", "2", ...cgroups] : []),
    ...["--", ...firecrackerArguments(jailedApiSocket({ id }))],
  ];
}

/** Is this the jailer before it has become the VM's Firecracker? Pure. */
export function isJailerOf(
  vm: { readonly id: VmId },
  jailDirectory: string,
  args: readonly string[],
): boolean {
  return (
    hasOption(args, "--id", vm.id) &&
    hasOption(args, "--chroot-base-dir", baseOf(jailDirectory)) &&
    hasOption(args, "--api-sock", jailedApiSocket(vm))
  );
}

/** The jailer's chroot base. Pure. */
export function baseOf(jailDirectory: string): string {
  return dirname(dirname(jailDirectory));
}
