import { readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import {
  BangerError,
  definePrivilegedRequest,
  JoinedError,
  KeyedLock,
  throwIfCancelled,
  vmmSignals,
  type Install,
  type PrivilegedContext,
  type PrivilegedRequest,
  type VmId,
  type VmmSignal,
} from "@banger/core";
import { z } from "zod";
import { ForeignFileError } from "../../files/owned-file.js";
import { vmFileNames } from "../../files/vm-files.js";
import { kernelNameOf, snapshotPartFile } from "../../disks/backing-files.js";
import {
  hostDevices,
  isOnFile,
  listLoopDevices,
  type DeviceTree,
} from "../../disks/loop-devices.js";
import { mappedDevice } from "../../disks/snapshot-names.js";
import { deviceNumbers } from "../../files/device-numbers.js";
import { imageFiles } from "../../images/image-manifest.js";
import { imageIdSchema, vmIdSchema } from "../../privileged/id-schemas.js";
import { readProc } from "../proc-files.js";
import {
  readCommandLines,
  type CommandLine,
  type ProcessIdentity,
} from "../process-identity.js";
import { SharedScan } from "../shared-scan.js";
import { endVmm, sendSignal, startVmm } from "../vmm-process.js";
import { hasCgroupLimits, removeCgroup } from "./jail-cgroup.js";
import {
  jailBaseProblem,
  jailDirectoryOf,
  jailRootOf,
  removeJailDirectory,
  requireSafeDirectory,
} from "./jail-directory.js";
import { JailUnusableError, otherBaseHint } from "./jail-errors.js";
import type { JailSource } from "./jail-files.js";
import { jailOwner } from "./jail-owner.js";
import {
  findJailedProcess,
  isJailProcess,
  jailProcesses,
  type Jail,
} from "./jail-processes.js";
import { findProgram } from "./jail-program.js";
import {
  beginLaunch,
  jailerArguments,
  lockJail,
  makeJail,
  programForJail,
  type JailParties,
} from "./jail.js";
import { unpackedKernel } from "./kernels.js";

/** Where cgroup v2 is. */
const cgroupRoot = "/sys/fs/cgroup";

/** What root has decided about jails; never from whoever asks. */
export interface JailRequestSettings {
  /** Firecracker's absolute path, or its name, which is looked up on the PATH */
  readonly firecracker?: string | undefined;
  /** the jailer's */
  readonly jailer?: string | undefined;
  /** where jails are made: the jailer's chroot base; absolute */
  readonly jailBase: string;
  /** default: the host's */
  readonly devices?: DeviceTree | undefined;
}

/** Which file of the host a drive is. */
export type JailDriveSource =
  /** in the VM's directory */
  | { readonly kind: "own"; readonly file: string }
  /** the VM's device-mapper snapshot */
  | { readonly kind: "snapshot" }
  /** anywhere, for an owner who is root */
  | { readonly kind: "any"; readonly path: string };

export type JailDrive = JailDriveSource & { readonly readOnly: boolean };

/** What is to be in a VM's jail. */
export interface JailInput {
  readonly vm: VmId;
  readonly image: string;
  /** the image's kernel as it is, or what Firecracker boots that boots no compressed ones */
  readonly kernel: "image" | "unpacked";
  /** by drive id */
  readonly drives: Readonly<Record<string, JailDrive>>;
}

interface OfVm {
  readonly vm: VmId;
}

interface OfProcess extends OfVm {
  readonly process?: ProcessIdentity;
}

type Nothing = Readonly<Record<string, never>>;

/** What of jails only root may do. A jail is known by the VM's id. */
export interface JailRequests {
  /** The program that would run in jails, and what speaks against them. Looks only. */
  readonly check: PrivilegedRequest<
    Nothing,
    {
      readonly firecracker?: string;
      readonly problem?: string;
      readonly fix?: string;
    }
  >;
  /** Makes the jail with all that its process opens; what is left of one before is removed, unless a process is in it. */
  readonly make: PrivilegedRequest<JailInput, Nothing>;
  /** Starts the VMM in its jail. Once: another one takes another jail. */
  readonly launch: PrivilegedRequest<
    OfVm & { readonly vcpus: number; readonly memoryMiB: number },
    ProcessIdentity
  >;
  /** Takes the jail's directories from its process, and gives its sockets to the owner. */
  readonly lock: PrivilegedRequest<OfVm, Nothing>;
  /** The process in the jail that serves its API. Looks only. */
  readonly find: PrivilegedRequest<
    OfProcess,
    { readonly process?: ProcessIdentity }
  >;
  /** Signals a process of the jail; does nothing to any other. */
  readonly signal: PrivilegedRequest<
    OfVm & { readonly process: ProcessIdentity; readonly signal: VmmSignal },
    Nothing
  >;
  /** Ends every process of the jail, and the one that is named if it is one. */
  readonly end: PrivilegedRequest<OfProcess, Nothing>;
  /** Removes cgroup and jail with everything in them. */
  readonly remove: PrivilegedRequest<OfVm, Nothing>;
}

const nothing: z.ZodType<Nothing> = z.strictObject({});
const ofVm = z.strictObject({ vm: vmIdSchema });
/** A process that can be a VMM. */
export const processIdentity: z.ZodType<ProcessIdentity> = z.strictObject({
  // Linux, include/linux/threads.h: PID_MAX_LIMIT.
  pid: z.int().min(2).max(4_194_304),
  pidStartTicks: z.int().min(0),
});
const ofProcess = z.strictObject({
  vm: vmIdSchema,
  process: processIdentity.exactOptional(),
});
const readOnly = z.boolean();
/** Below a VM's directory, no part of it hidden or a step upwards. */
const ownFile = z
  .string()
  .max(200)
  .regex(
    /^[A-Za-z0-9][\w.-]*(?:\/[A-Za-z0-9][\w.-]*){0,3}$/,
    "no file of ours",
  );
const drive = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("own"), file: ownFile, readOnly }),
  z.strictObject({ kind: z.literal("snapshot"), readOnly }),
  z.strictObject({
    kind: z.literal("any"),
    path: z
      .string()
      .max(4096)
      .regex(/^\/[^\0]*$/, "no absolute path"),
    readOnly,
  }),
]);
/** Firecracker names drives with these characters, and a guest has 26 at most. */
const drives = z
  .record(z.string().regex(/^\w{1,64}$/), drive)
  .refine((all) => Object.keys(all).length <= 26, "too many drives");

/** Longest run of a request that makes or removes files, ms: a kernel and read-only disks are copied. */
const filesLimitMs = 300_000;
/** Of one that looks or signals. */
const quickLimitMs = 15_000;
/** Of one that ends processes, each of which has 10 s. */
const endLimitMs = 60_000;

/** By jail: nobody launches into one that is being made, or removes one that is being launched into. */
const changes = new KeyedLock();

/** Pure. */
export function jailRequests(settings: JailRequestSettings): JailRequests {
  const { jailBase, devices = hostDevices } = settings;
  // Several VMs are looked for at once when a daemon begins.
  const scan = new SharedScan(readCommandLines);
  const commandLines = (): Promise<readonly CommandLine[]> => scan.ask();
  const jailOf = (id: VmId): Jail => ({
    id,
    directory: jailDirectoryOf(jailBase, id),
  });
  const programs = async ({
    install,
    commands,
  }: PrivilegedContext): Promise<{ firecracker: string; jailer: string }> => ({
    firecracker: await findProgram(
      settings.firecracker ?? "firecracker",
      install,
      commands,
    ),
    jailer: await findProgram(settings.jailer ?? "jailer", install, commands),
  });
  const sourceOf = async (
    { install }: PrivilegedContext,
    vm: VmId,
    given: JailDrive,
  ): Promise<JailSource> => {
    switch (given.kind) {
      case "own": {
        const path = join(directoryOf(install, vm), given.file);
        // What is only read may be the owner's other file, too, and is copied.
        return { kind: given.readOnly ? "shared" : "own", path };
      }
      case "snapshot":
        return {
          kind: "device",
          rdev: await snapshotDevice(install, vm, devices),
        };
      case "any":
        if (install.owner.uid !== 0)
          throw new JailUnusableError(
            given.path,
            "is not in the VM's directory, and the root helper gives a VMM nothing else",
            "Put the disk into the VM's directory",
          );
        return { kind: "any", path: given.path };
    }
  };
  return {
    check: definePrivilegedRequest({
      name: "jail.check",
      input: nothing,
      output: z.strictObject({
        firecracker: z.string().exactOptional(),
        problem: z.string().exactOptional(),
        fix: z.string().exactOptional(),
      }),
      timeoutMs: quickLimitMs,
      async run(_, context) {
        const unsafe = await jailBaseProblem(jailBase);
        if (unsafe) {
          const fix =
            context.install.owner.uid === 0
              ? otherBaseHint
              : "Install again: sudo banger system install";
          return { problem: unsafe.message, fix };
        }
        try {
          return { firecracker: (await programs(context)).firecracker };
        } catch (error) {
          if (!(error instanceof BangerError) || error.kind !== "unavailable")
            throw error;
          const { message: problem, hint: fix } = error;
          return fix === undefined ? { problem } : { problem, fix };
        }
      },
    }),
    make: definePrivilegedRequest({
      name: "jail.make",
      input: z.strictObject({
        vm: vmIdSchema,
        image: imageIdSchema,
        kernel: z.enum(["image", "unpacked"]),
        drives,
      }),
      output: nothing,
      timeoutMs: filesLimitMs,
      async run(input, context) {
        const { vm, image, kernel } = input;
        const { install, commands, signal } = context;
        const placed = new Map<
          string,
          { source: JailSource; readOnly: boolean }
        >();
        for (const [id, given] of Object.entries(input.drives))
          placed.set(id, {
            source: await sourceOf(context, vm, given),
            readOnly: given.readOnly,
          });
        const contents = {
          id: vm,
          directory: directoryOf(install, vm),
          kernel: kernelOf(install, image, kernel),
          drives: Object.fromEntries(placed),
        };
        const jail = jailOf(vm);
        const parties = partiesOf(install, vm);
        await changes.run(jail.directory, signal, async () => {
          await requireEmpty(jail);
          await makeJail(jail.directory, contents, parties, commands, signal);
        });
        return {};
      },
    }),
    launch: definePrivilegedRequest({
      name: "jail.launch",
      input: z.strictObject({
        vm: vmIdSchema,
        vcpus: z.int().min(1).max(32),
        memoryMiB: z
          .int()
          .min(1)
          .max(2 ** 24),
      }),
      output: processIdentity,
      timeoutMs: quickLimitMs,
      run: ({ vm, vcpus, memoryMiB }, context) =>
        changes.run(jailOf(vm).directory, context.signal, async () => {
          const { install } = context;
          const jail = jailOf(vm);
          const { firecracker, jailer } = await programs(context);
          if (!(await requireSafeDirectory(jailRootOf(jail.directory))))
            throw new JailUnusableError(
              jail.directory,
              "is not there",
              "Start the VM again",
            );
          const { owner, sources } = partiesOf(install, vm);
          await beginLaunch(jail.directory);
          const args = jailerArguments({
            id: vm,
            machine: { vcpus, memoryMiB },
            jailDirectory: jail.directory,
            program: await programForJail(firecracker, jail.directory),
            owner,
            limits: await hasCgroupLimits(cgroupRoot),
          });
          const directory = directoryOf(install, vm);
          throwIfCancelled(context.signal, "starting a VMM");
          const { identity } = await startVmm({
            program: jailer,
            args,
            stdout: join(directory, vmFileNames.consoleLog),
            stderr: join(directory, vmFileNames.vmmLog),
            umask: "077",
            outputOwners: sources,
          });
          return identity;
        }),
    }),
    lock: definePrivilegedRequest({
      name: "jail.lock",
      input: ofVm,
      output: nothing,
      timeoutMs: quickLimitMs,
      async run({ vm }, context) {
        const { directory } = jailOf(vm);
        await changes.run(directory, context.signal, async () => {
          await requireSafeDirectory(directory);
          await lockJail(directory, vm, partiesOf(context.install, vm));
        });
        return {};
      },
    }),
    find: definePrivilegedRequest({
      name: "jail.find",
      input: ofProcess,
      output: z.strictObject({ process: processIdentity.exactOptional() }),
      timeoutMs: quickLimitMs,
      async run({ vm, process }) {
        const jail = jailOf(vm);
        const found = await findJailedProcess(jail, process, commandLines);
        return found ? { process: found } : {};
      },
    }),
    signal: definePrivilegedRequest({
      name: "jail.signal",
      input: z.strictObject({
        vm: vmIdSchema,
        process: processIdentity,
        signal: z.enum(vmmSignals),
      }),
      output: nothing,
      timeoutMs: quickLimitMs,
      async run({ vm, process, signal }, context) {
        const { uid } = jailOwner(vm, context.install.owner);
        if (await isJailProcess(jailOf(vm), process, uid))
          sendSignal(process, `SIG${signal}`);
        return {};
      },
    }),
    end: definePrivilegedRequest({
      name: "jail.end",
      input: ofProcess,
      output: nothing,
      timeoutMs: endLimitMs,
      async run({ vm, process }, context) {
        const jail = jailOf(vm);
        const { uid } = jailOwner(vm, context.install.owner);
        const isNamed =
          process !== undefined && (await isJailProcess(jail, process, uid));
        const failures: unknown[] = [];
        for (const each of [
          ...(isNamed ? [process] : []),
          // One that was started but never recorded, one that hangs before it listens.
          ...(await jailProcesses(jail, commandLines)),
        ])
          await endVmm(each).catch((error: unknown) => failures.push(error));
        if (failures.length > 0)
          throw new JoinedError(
            `processes in ${jail.directory} are left`,
            failures,
          );
        return {};
      },
    }),
    remove: definePrivilegedRequest({
      name: "jail.remove",
      input: ofVm,
      output: nothing,
      timeoutMs: filesLimitMs,
      async run({ vm }, { install, signal }) {
        const failures: unknown[] = [];
        const attempt = (step: Promise<void>): Promise<void> =>
          step.catch((error: unknown) => void failures.push(error));
        const jail = jailOf(vm);
        const { directory } = jail;
        const { uid } = jailOwner(vm, install.owner);
        await changes.run(directory, signal, async () => {
          // First: it ends what is hidden from us otherwise.
          await attempt(removeCgroup(cgroupRoot, vm, [0, uid]));
          await attempt(
            requireEmpty(jail).then(() => removeJailDirectory(directory, vm)),
          );
        });
        if (failures.length > 0)
          throw new JoinedError(`${directory} is left`, failures);
        return {};
      },
    }),
  };
}

function directoryOf({ stateDirectory }: Install, vm: VmId): string {
  return join(stateDirectory, "vms", vm);
}

function kernelOf(
  { stateDirectory }: Install,
  image: string,
  kernel: JailInput["kernel"],
): string {
  return kernel === "image"
    ? join(stateDirectory, "images", image, imageFiles.kernel)
    : unpackedKernel(join(stateDirectory, "kernels"), image);
}

/** Files that a VMM has had in a jail of root's install belong to its user, those that it has not had yet to root. */
function partiesOf({ owner: install }: Install, vm: VmId): JailParties {
  const owner = jailOwner(vm, install);
  return { owner, install, sources: [install.uid, owner.uid] };
}

/**
 * The numbers of a VM's device-mapper device, as stat(2) has them: by its UUID, as its name may be another VM's.
 * @throws ForeignFileError
 */
async function snapshotDevice(
  install: Install,
  vm: VmId,
  tree: DeviceTree,
): Promise<number> {
  const { name, uuid } = mappedDevice({ id: vm });
  const path = `${tree.dev}/mapper/${name}`;
  const found = await stat(path);
  const { major, minor } = deviceNumbers(found.rdev);
  const device = `${tree.sys}/dev/block/${String(major)}:${String(minor)}`;
  const known = found.isBlockDevice()
    ? await readProc(`${device}/dm/uuid`)
    : undefined;
  if (known?.trim() !== uuid)
    throw new ForeignFileError(path, `is not the device ${uuid}`);
  // A UUID does not say whose VM has the id: another install's may, on files that this owner must not reach.
  const overlay = await kernelNameOf(
    install,
    snapshotPartFile(install, { vm, image: "" }, "overlay"),
  );
  const below = await readdir(`${device}/slaves`);
  const isOurs = (await listLoopDevices(tree)).some(
    (loop) => below.includes(basename(loop.device)) && isOnFile(loop, overlay),
  );
  if (!isOurs) throw new ForeignFileError(path, `is not on ${overlay}`);
  return found.rdev;
}

/**
 * A jailer that has only been started goes by the path of its jail: nobody may make another one there meanwhile.
 * @throws JailUnusableError
 */
async function requireEmpty(jail: Jail): Promise<void> {
  // Not a scan of somebody else's: it may have begun before the launch.
  const [left] = await jailProcesses(jail, readCommandLines);
  if (!left) return;
  throw new JailUnusableError(
    jail.directory,
    `has a process: ${String(left.pid)}`,
    "Stop the VM first",
  );
}
