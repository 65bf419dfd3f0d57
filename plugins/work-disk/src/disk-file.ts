import {
  access,
  open,
  rename,
  rm,
  stat,
  truncate,
  writeFile,
} from "node:fs/promises";
import {
  CancelledError,
  type CommandRunner,
  isBangerError,
  throwIfCancelled,
  type VmContext,
  type VmRecord,
} from "@banger/core";
import {
  diskPaths,
  diskStep,
  wantedBytes,
  type DiskFacts,
} from "./disk-plan.js";
import { makeFileSystem } from "./mkfs.js";
import { stageContent, type StagingDeps } from "./staging.js";
import { readFileSystemBytes } from "./superblock.js";
import {
  DiskFullError,
  saysDiskFull,
  WorkDiskGrowError,
} from "./work-disk-errors.js";

/** Checking and growing a full disk of some 100 GiB takes minutes. */
const growLimitMs = 280_000;

export interface WorkDiskDeps extends StagingDeps {
  readonly hostFacts: { readonly isRoot: boolean };
}

/** What is there of a VM's disk, or `undefined` when it has none yet. */
export async function readDiskFacts(
  vm: VmRecord,
): Promise<DiskFacts | undefined> {
  const { disk, growing } = diskPaths(vm);
  const size = await absent(async () => (await stat(disk)).size);
  if (size === undefined) return undefined;
  return {
    fileBytes: size,
    fileSystemBytes: await readFileSystemBytes(disk),
    growing: (await absent(() => access(growing).then(() => true))) ?? false,
  };
}

/** What `look` finds; `undefined` when there is no such file. */
async function absent<T>(look: () => Promise<T>): Promise<T | undefined> {
  try {
    return await look();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/**
 * Makes the VM's disk, or grows it to what the owner wants. Idempotent. A new disk appears under its name when it is whole.
 * @throws WorkSeedError, WorkDiskGrowError, DiskFullError, ToolMissingError, CommandFailedError, CancelledError
 */
export async function ensureDisk(
  deps: WorkDiskDeps,
  context: Pick<VmContext, "vm" | "image" | "signal" | "progress" | "logger">,
): Promise<void> {
  const { vm, signal } = context;
  throwIfCancelled(signal, "preparing the work disk");
  try {
    await bringDisk(deps, context);
  } catch (error) {
    throw saysDiskFull(error) ? new DiskFullError(vm.name, error) : error;
  }
}

async function bringDisk(
  deps: WorkDiskDeps,
  context: Pick<VmContext, "vm" | "image" | "signal" | "progress" | "logger">,
): Promise<void> {
  const { vm, signal, progress, logger } = context;
  const facts = await readDiskFacts(vm);
  switch (diskStep(facts, wantedBytes(vm))) {
    case "make":
      progress("work-disk", "making the disk at /root");
      await makeDisk(deps, context);
      break;
    case "grow":
      progress("work-disk", "growing the disk at /root");
      await growDisk(deps.commands, vm, facts?.fileBytes ?? 0, signal);
      break;
    case "keep":
      if (facts && facts.fileSystemBytes === undefined)
        logger.warn("Work disk has no ext4 that can be read", {
          path: diskPaths(vm).disk,
        });
  }
}

/** Removes what a disk that was never finished left behind; the disk itself stays. Idempotent. */
export async function removeUnfinished(vm: VmRecord): Promise<void> {
  const { staging, unfinished } = diskPaths(vm);
  await rm(staging, { recursive: true, force: true });
  await rm(unfinished, { force: true });
}

async function makeDisk(
  deps: WorkDiskDeps,
  { vm, image, signal }: Pick<VmContext, "vm" | "image" | "signal">,
): Promise<void> {
  const { disk, unfinished } = diskPaths(vm);
  await removeUnfinished(vm);
  try {
    await stageContent(deps, vm, image, signal);
    const file = await open(unfinished, "wx", 0o600);
    try {
      await file.truncate(wantedBytes(vm));
      await makeFileSystem(deps.commands, vm, deps.hostFacts.isRoot, signal);
      // Data before name: else a power cut may leave the name on an empty file.
      await file.datasync();
    } finally {
      await file.close();
    }
    await rename(unfinished, disk);
  } finally {
    await removeUnfinished(vm);
  }
}

/**
 * e2fsck and resize2fs read what the guest wrote, with the rights of the daemon and no confinement of their own: so they run once for
 * each growth that the owner asked for, never because of what is on the disk.
 */
async function growDisk(
  commands: CommandRunner,
  vm: VmRecord,
  fileBytes: number,
  signal: AbortSignal,
): Promise<void> {
  const { disk, growing } = diskPaths(vm);
  const limits = { timeoutMs: growLimitMs, signal };
  try {
    await writeFile(growing, "", { mode: 0o600 });
    if (fileBytes < wantedBytes(vm)) await truncate(disk, wantedBytes(vm));
    // resize2fs refuses a file system that was not checked. 1: e2fsck corrected something.
    await commands.run({
      file: "e2fsck",
      args: ["-f", "-p", disk],
      okExitCodes: [0, 1],
      ...limits,
    });
    await commands.run({ file: "resize2fs", args: [disk], ...limits });
    await rm(growing, { force: true });
  } catch (error) {
    // A missing tool or a cancel says what it is by itself.
    if (error instanceof CancelledError) throw error;
    if (isBangerError(error) && error.kind === "unavailable") throw error;
    throw new WorkDiskGrowError(vm.name, disk, error);
  }
}
