import { chmod, copyFile, link, mkdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { CommandRunner, Drive, VmmLaunch, VmRecord } from "@banger/core";
import { vmFileNames } from "../../files/vm-files.js";
import { hasErrorCode } from "../../files/error-code.js";
import { cgroupLimits } from "./jail-cgroup.js";
import {
  jailedProgram,
  jailRootOf,
  removeJailDirectory,
  requireSafeDirectory,
} from "./jail-directory.js";
import { JailUnusableError, otherBaseHint } from "./jail-errors.js";
import {
  makeJailDirectory,
  placeInJail,
  type JailFile,
  type JailOwner,
} from "./jail-files.js";
import type { MachinePaths } from "./machine-requests.js";
import { firecrackerArguments } from "./process-arguments.js";

/** Paths in every jail, as its process sees them. */
const inJail = {
  kernel: "/kernel",
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

/** The API's socket as the process sees it. In it is the VM's id: it tells the process from those of other VMs. Pure. */
export function jailedApiSocket({ id }: VmRecord): string {
  return `/run/${id}.api`;
}

/** Pure. */
export function jailedVsock({ id }: VmRecord): string {
  return `/run/${id}.vsock`;
}

/**
 * Makes a VM's jail with everything in it that its process opens; what is left of one before is removed.
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
  await makeJailDirectory(root, owner);
  await makeJailDirectory(join(root, "run"), owner);
  const isOwn = (path: string): boolean =>
    path.startsWith(`${vm.runtime.directory}/`);
  const file = (
    source: string,
    target: string,
    readOnly: boolean,
  ): JailFile => ({
    source,
    target: join(root, target),
    readOnly,
    // A block device's node is the jail's own, the device is not.
    isOwn: isOwn(source),
  });
  const { directory } = vm.runtime;
  for (const each of [
    file(kernel, inJail.kernel, true),
    file(initrdPath, inJail.initrd, true),
    file(join(directory, vmFileNames.firecrackerLog), inJail.log, false),
    file(
      join(directory, vmFileNames.firecrackerMetrics),
      inJail.metrics,
      false,
    ),
    ...Object.entries(machine.drives).map(([id, drive]: [string, Drive]) =>
      file(drive.path, jailedPaths(vm).drive(id, drive), drive.readOnly),
    ),
  ])
    await placeInJail(each, owner, commands, signal);
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
  return [jailedApiSocket(vm), baseOf(jailDirectory)].every((argument) =>
    args.includes(argument),
  );
}

function baseOf(jailDirectory: string): string {
  return dirname(dirname(jailDirectory));
}
