import { chmod, chown, copyFile, link, mkdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { CommandRunner, Drive, VmmLaunch, VmRecord } from "@banger/core";
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
import { placeInJail, type JailFile } from "./jail-files.js";
import type { JailOwner } from "./jail-owner.js";
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

/** The API's socket as the process sees it. Pure. */
export function jailedApiSocket({ id }: VmRecord): string {
  return `/run/${id}.api`;
}

/** Pure. */
export function jailedVsock({ id }: VmRecord): string {
  return `/run/${id}.vsock`;
}

/**
 * Makes a VM's jail with everything in it that its process opens; what is left of one before is removed. Its process can change what the
 * VM writes and the directory of its sockets, nothing else once {@link lockJail} was called.
 * @param kernel on the host
 * @throws JailUnusableError
 */
export async function makeJail(
  jailDirectory: string,
  { vm, machine, initrdPath }: VmmLaunch,
  kernel: string,
  owner: JailOwner,
  commands: CommandRunner,
  signal: AbortSignal,
): Promise<void> {
  const parent = dirname(jailDirectory);
  await makeParent(parent);
  await removeJailDirectory(jailDirectory, vm.id);
  // Whoever may enter it meets files that belong to the process in it.
  await mkdir(jailDirectory, { mode: 0o700 });
  const root = jailRootOf(jailDirectory);
  await mkdir(root, { mode: 0o755 });
  await mkdir(join(root, "run"), { mode: 0o700 });
  await chown(join(root, "run"), owner.uid, owner.gid);
  const { directory } = vm.runtime;
  const own = (source: string, target: string, readOnly = false): JailFile => ({
    source,
    target: join(root, target),
    readOnly,
    isOwn: true,
  });
  const drive = (id: string, { path, readOnly }: Drive): JailFile => ({
    source: path,
    target: join(root, `/drives/${id}`),
    readOnly,
    // A file that is only read can be copied, whosever it is.
    isOwn: !readOnly && path.startsWith(`${directory}/`),
  });
  for (const each of [
    { ...own(kernel, inJail.kernel, true), isOwn: false },
    own(initrdPath, inJail.initrd, true),
    own(join(directory, vmFileNames.firecrackerLog), inJail.log),
    own(join(directory, vmFileNames.firecrackerMetrics), inJail.metrics),
    ...Object.entries(machine.drives).map(([id, each]) => drive(id, each)),
  ])
    await placeInJail(each, owner, commands, signal);
}

/**
 * Takes the root directory back from the jail's user, to whom the jailer gives it: whatever the guest makes of its VMM later, paths in the
 * jail lead where they led. To be called once the process serves its API and before it runs a guest.
 */
export async function lockJail(jailDirectory: string): Promise<void> {
  const root = jailRootOf(jailDirectory);
  await chown(root, process.getuid?.() ?? 0, process.getgid?.() ?? 0);
  await chmod(root, 0o755);
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
  readonly launch: VmmLaunch;
  readonly jailDirectory: string;
  /** as {@link programForJail} says */
  readonly program: string;
  readonly owner: JailOwner;
  /** is there cgroup v2? */
  readonly limits: boolean;
}): readonly string[] {
  const { launch, jailDirectory, program, owner, limits } = options;
  const cgroups = cgroupLimits(launch.machine).flatMap((limit) => [
    "--cgroup",
    limit,
  ]);
  return [
    ...["--id", launch.vm.id, "--exec-file", program],
    ...["--uid", String(owner.uid), "--gid", String(owner.gid)],
    ...["--chroot-base-dir", baseOf(jailDirectory)],
    ...(limits ? ["--cgroup-version", "2", ...cgroups] : []),
    ...["--", ...firecrackerArguments(jailedApiSocket(launch.vm))],
  ];
}

/** Is this the jailer before it has become the VM's Firecracker? Pure. */
export function isJailerOf(
  vm: VmRecord,
  jailDirectory: string,
  args: readonly string[],
): boolean {
  return (
    hasOption(args, "--id", vm.id) &&
    hasOption(args, "--chroot-base-dir", baseOf(jailDirectory)) &&
    hasOption(args, "--api-sock", jailedApiSocket(vm))
  );
}

function baseOf(jailDirectory: string): string {
  return dirname(dirname(jailDirectory));
}
