import { rm } from "node:fs/promises";
import { dirname } from "node:path";
import {
  throwIfCancelled,
  type CommandRunner,
  type DiskFormat,
  type Drive,
  type Image,
  type Logger,
  type Privileged,
  type RootDiskNames,
  type RootDisks,
  type RootDiskStrategy,
  type VmRecord,
} from "@banger/core";
import { ensureCopy } from "./copy-root-disk.js";
import type { DiskRequests } from "./disk-requests.js";
import { hostDevices, type DeviceTree } from "./loop-devices.js";
import { unfinishedFile } from "./new-file.js";
import { ensureQcow2 } from "./qcow2-root-disk.js";
import {
  cloneFile,
  ensureReflink,
  reflinkScratch,
  type CloneFile,
} from "./reflink-root-disk.js";
import {
  RootDiskFormatError,
  RootDiskUnavailableError,
} from "./root-disk-errors.js";
import {
  findRootDisk,
  rootDiskFile,
  rootDiskFormats,
  rootDiskStrategies,
} from "./root-disk-files.js";
import type { RootDiskObstacle, RootDiskProbe } from "./root-disk-probe.js";
import { snapshotNames } from "./snapshot-names.js";
import { SnapshotRootDisks } from "./snapshot-root-disk.js";

/** Root disks of every kind: a new one of the best kind that this host gives, one that is there as it was made. */
export class InstalledRootDisks implements RootDisks {
  readonly #commands: CommandRunner;
  readonly #privileged: Privileged;
  readonly #logger: Logger;
  readonly #probe: RootDiskProbe;
  readonly #clone: CloneFile;
  readonly #snapshots: SnapshotRootDisks;

  /** @param stateDirectory where images and VMs are */
  constructor(deps: {
    readonly commands: CommandRunner;
    readonly logger: Logger;
    readonly privileged: Privileged;
    readonly rootDiskProbe: RootDiskProbe;
    readonly stateDirectory: string;
    readonly requests: DiskRequests;
    readonly clone?: CloneFile;
    readonly devices?: DeviceTree;
  }) {
    this.#commands = deps.commands;
    this.#privileged = deps.privileged;
    this.#logger = deps.logger;
    this.#probe = deps.rootDiskProbe;
    this.#clone = deps.clone ?? cloneFile;
    const { devices = hostDevices } = deps;
    this.#snapshots = new SnapshotRootDisks({ ...deps, devices });
  }

  async find(vm: VmRecord): Promise<DiskFormat | undefined> {
    const found = await findRootDisk(vm);
    return found && rootDiskFormats[found];
  }

  /** The VM's directory must exist: a probe makes a file there for a moment. */
  async choose(
    vm: VmRecord,
    formats: readonly [DiskFormat, ...DiskFormat[]],
    image: Image,
    signal: AbortSignal,
  ): Promise<RootDiskStrategy> {
    throwIfCancelled(signal, "choosing the root disk");
    const found = await findRootDisk(vm);
    if (found === undefined) {
      const directory = dirname(rootDiskFile(vm, "copy"));
      const { rootfs } = image.files;
      return (await this.#probe.best(formats[0], directory, rootfs)).strategy;
    }
    const format = rootDiskFormats[found];
    if (!formats.includes(format))
      throw new RootDiskFormatError(vm, format, formats);
    return found;
  }

  drive(vm: VmRecord): Drive {
    const strategy = strategyOf(vm);
    return {
      path:
        strategy === "snapshot"
          ? snapshotNames(vm).dmDevice
          : rootDiskFile(vm, strategy),
      format: rootDiskFormats[strategy],
      readOnly: false,
    };
  }

  async ensure(
    vm: VmRecord,
    image: Image,
    record: (names: RootDiskNames) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    const strategy = strategyOf(vm);
    switch (strategy) {
      case "qcow2":
        return ensureQcow2(this.#commands, vm, image, signal);
      case "reflink":
        return ensureReflink(this.#clone, vm, image, signal);
      case "copy": {
        const deps = { commands: this.#commands, logger: this.#logger };
        return ensureCopy(deps, vm, image, signal);
      }
      case "snapshot": {
        const obstacle =
          this.#unreachable(vm) ?? (await this.#probe.snapshotObstacle());
        if (obstacle)
          throw new RootDiskUnavailableError(vm, strategy, obstacle);
        return this.#snapshots.ensure(vm, image, record, signal);
      }
    }
  }

  /** A snapshot is root's device: another user's VMM opens the node that it gets in its jail. */
  #unreachable({ name, runtime }: VmRecord): RootDiskObstacle | undefined {
    return this.#privileged.kind === "helper" &&
      runtime.jailDirectory === undefined
      ? {
          reason: "only a VMM in a jail may open that",
          fix: `Start it in one: banger vm start ${name} --driver firecracker`,
        }
      : undefined;
  }

  async release(vm: VmRecord): Promise<void> {
    try {
      await removeUnfinished(vm);
    } finally {
      // Also with another kind in the record: it may be behind what was made. When both fail, the devices are what must be known.
      await this.#snapshots.release(vm);
    }
  }
}

/** Removes what a killed process may have left of a root disk of any kind; never a disk. */
async function removeUnfinished(vm: VmRecord): Promise<void> {
  const disks = rootDiskStrategies.map((kind) => rootDiskFile(vm, kind));
  for (const disk of disks) await rm(unfinishedFile(disk), { force: true });
  const scratch = reflinkScratch(dirname(rootDiskFile(vm, "reflink")));
  await rm(scratch, { recursive: true, force: true });
}

/** A record without one is of a VM that was started before there were others. */
function strategyOf(vm: VmRecord): RootDiskStrategy {
  return vm.runtime.rootDisk ?? "qcow2";
}
