import { realpath, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import {
  JoinedError,
  throwIfCancelled,
  UndoStack,
  type CommandRunner,
  type Image,
  type Logger,
  type RootDiskNames,
  type VmRecord,
} from "@banger/core";
import { hasErrorCode } from "../files/error-code.js";
import { DeviceMapper, type MappedDevice } from "./device-mapper.js";
import {
  hostDevices,
  LoopDevices,
  type DeviceTree,
  type LoopDevice,
} from "./loop-devices.js";
import { RootDiskBusyError } from "./root-disk-errors.js";
import { hasFile, rootDiskFile } from "./root-disk-files.js";
import { chunkSectors, ensureOverlay } from "./snapshot-overlay.js";

const sectorBytes = 512;

/** Digits of the id in the device's name. */
const nameDigits = 8;

/** Names of a VM's device-mapper device. Pure. */
export function snapshotNames(vm: VmRecord): {
  readonly dmName: string;
  readonly dmDevice: string;
} {
  // Here and not only where the file is made: these names go into commands.
  rootDiskFile(vm, "snapshot");
  const dmName = `fc-rootfs-${vm.id.slice(0, nameDigits)}`;
  return { dmName, dmDevice: `/dev/mapper/${dmName}` };
}

/** The device itself; eight digits of an id may be those of another VM's, its UUID has them all. */
function mappedDevice(vm: VmRecord): MappedDevice {
  return { name: snapshotNames(vm).dmName, uuid: `banger-${vm.id}` };
}

/** The files under a VM's root disk, as the kernel names them. */
interface BackingFiles {
  readonly base: string;
  readonly overlay: string;
}

/**
 * Root disks as device-mapper snapshots: a read-only loop device on the image, a loop device on a sparse overlay in the VM's directory, and
 * a device over both. The overlay stays between runs, the devices are of one run.
 */
export class SnapshotRootDisks {
  readonly #imageFile: (imageId: string) => string;
  readonly #logger: Logger;
  readonly #loops: LoopDevices;
  readonly #mapper: DeviceMapper;
  #turn: Promise<unknown> = Promise.resolve();

  /** @param imageFile path of an image's root file system */
  constructor(deps: {
    readonly commands: CommandRunner;
    readonly logger: Logger;
    readonly imageFile: (imageId: string) => string;
    readonly devices?: DeviceTree;
    /** between attempts to remove a device that is in use */
    readonly pauseMs?: number;
  }) {
    const { commands, devices = hostDevices } = deps;
    this.#imageFile = deps.imageFile;
    this.#logger = deps.logger;
    this.#loops = new LoopDevices(commands, devices);
    this.#mapper = new DeviceMapper(commands, devices, deps.pauseMs);
  }

  /**
   * Makes overlay and devices, or finds them there. Idempotent. On a throw the devices that it made are gone again.
   * @param record awaited before each device is made, with all names so far
   * @throws RootDiskInvalidError, RootDiskBusyError, DiskFullError
   */
  async ensure(
    vm: VmRecord,
    image: Image,
    record: (names: RootDiskNames) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    const baseBytes = (await stat(image.files.rootfs)).size;
    if (baseBytes === 0 || baseBytes % sectorBytes !== 0)
      throw new Error(`${image.files.rootfs} has no whole number of sectors`);
    const overlay = rootDiskFile(vm, "snapshot");
    await ensureOverlay(vm, overlay, baseBytes);
    const files = await this.#backingFiles(vm, image.files.rootfs);
    await this.#inTurn(async () => {
      throwIfCancelled(signal, `making the root disk of ${vm.name}`);
      const device = mappedDevice(vm);
      const uuid = await this.#mapper.findUuid(device.name);
      if (uuid !== undefined && uuid !== device.uuid) {
        const { dmDevice } = snapshotNames(vm);
        throw new RootDiskBusyError(dmDevice, `is not of ${vm.name}`);
      }
      const found =
        uuid === undefined
          ? undefined
          : await this.#findWhole(vm, files, baseBytes, signal);
      if (found !== undefined) {
        const isRecorded =
          vm.runtime.baseLoop === found.baseLoop &&
          vm.runtime.cowLoop === found.cowLoop &&
          vm.runtime.dmName === found.dmName;
        if (!isRecorded) await record(found);
        return;
      }
      // What a run that was cut off has left is no part of a new one.
      if (uuid !== undefined) await this.#mapper.remove(device);
      await this.#removeLoops(vm, files);
      await this.#make(vm, files, baseBytes, record, signal);
    });
  }

  /** Removes the devices of one run; the overlay stays. Idempotent, runs to the end. @throws JoinedError */
  async release(vm: VmRecord): Promise<void> {
    const files = await this.#backingFiles(vm, this.#imageFile(vm.imageId));
    if (!(await this.#mayHaveDevices(vm, files))) return;
    const failures: unknown[] = [];
    await this.#mapper
      .remove(mappedDevice(vm))
      .catch((error: unknown) => failures.push(error));
    await this.#inTurn(() => this.#removeLoops(vm, files)).catch(
      (error: unknown) => failures.push(error),
    );
    if (failures.length > 0)
      throw new JoinedError(`devices of ${vm.name} are left`, failures);
  }

  /** Root alone may ask device-mapper what there is, and most VMs of most users have none: so not for those. */
  async #mayHaveDevices(vm: VmRecord, files: BackingFiles): Promise<boolean> {
    const { rootDisk, baseLoop, cowLoop, dmName } = vm.runtime;
    return (
      rootDisk === "snapshot" ||
      [baseLoop, cowLoop, dmName].some((name) => name !== undefined) ||
      (await hasFile(files.overlay)) ||
      (await this.#overlayLoops(files)).length > 0
    );
  }

  async #make(
    vm: VmRecord,
    files: BackingFiles,
    baseBytes: number,
    record: (names: RootDiskNames) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    const undo = new UndoStack({ logger: this.#logger });
    let names: RootDiskNames = {};
    const claim = async (more: RootDiskNames): Promise<void> => {
      names = { ...names, ...more };
      await record(names);
    };
    const attach = (
      file: string,
      readOnly: boolean,
      name: "baseLoop" | "cowLoop",
    ): Promise<string> =>
      this.#loops.attach(
        file,
        readOnly,
        async (device) => {
          undo.push(device, () => this.#detach(device, file));
          await claim({ [name]: device });
        },
        signal,
      );
    try {
      const base = await attach(files.base, true, "baseLoop");
      const cow = await attach(files.overlay, false, "cowLoop");
      const device = mappedDevice(vm);
      const { dmName, dmDevice } = snapshotNames(vm);
      undo.push(dmDevice, () => this.#mapper.remove(device));
      await claim({ dmName, dmDevice });
      const sectors = baseBytes / sectorBytes;
      const table = `0 ${String(sectors)} snapshot ${base} ${cow} P ${String(chunkSectors)}`;
      await this.#mapper.create(device, table, signal);
    } catch (error) {
      const leftovers = await undo.unwind();
      if (leftovers.length === 0) throw error;
      throw new JoinedError(
        `the root disk of ${vm.name} was not made, and devices are left`,
        [error, ...leftovers],
      );
    }
  }

  /** The names of the device when it has exactly the table that `ensure` would load, over the right files. */
  async #findWhole(
    vm: VmRecord,
    files: BackingFiles,
    baseBytes: number,
    signal: AbortSignal,
  ): Promise<Required<RootDiskNames> | undefined> {
    const device = snapshotNames(vm);
    const table = await this.#mapper.table(device.dmName, signal);
    const sectors = String(baseBytes / sectorBytes);
    const loops = await this.#loops.list();
    for (const base of loops.filter((loop) => isBase(loop, files)))
      for (const cow of loops.filter((loop) => isOverlay(loop, files))) {
        const wanted = `0 ${sectors} snapshot ${base.number} ${cow.number} P ${String(chunkSectors)}`;
        if (table === wanted)
          return { baseLoop: base.device, cowLoop: cow.device, ...device };
      }
    return undefined;
  }

  /** Those of the overlay wherever they are, and those of the image that the record names and nothing is on. */
  async #removeLoops(vm: VmRecord, files: BackingFiles): Promise<void> {
    const failures: unknown[] = [];
    for (const loop of await this.#loops.list()) {
      const ours =
        isOverlay(loop, files) ||
        (loop.backingFile === files.base &&
          loop.device === vm.runtime.baseLoop);
      if (!ours) continue;
      await this.#detach(loop.device, loop.backingFile).catch(
        (error: unknown) => failures.push(error),
      );
    }
    // A second device on the overlay would be a second writer, so nobody may go on as if this one were gone.
    for (const { device } of await this.#overlayLoops(files))
      failures.push(new RootDiskBusyError(device, "is still in use"));
    if (failures.length > 0)
      throw new JoinedError(`loop devices of ${vm.name} are left`, failures);
  }

  async #overlayLoops(files: BackingFiles): Promise<readonly LoopDevice[]> {
    return (await this.#loops.list()).filter((loop) => isOverlay(loop, files));
  }

  /**
   * A loop device with something on it stays: on the image it is another VM's, which took the number after us, and on the overlay the
   * device-mapper device is what could not be removed.
   */
  async #detach(device: string, file: string): Promise<void> {
    await this.#loops.detach(
      device,
      (loop) => loop.backingFile === file && loop.holders.length === 0,
    );
  }

  /** As the kernel names them: without symbolic links. They need not exist. */
  async #backingFiles(vm: VmRecord, base: string): Promise<BackingFiles> {
    return {
      base: await resolveLinks(base),
      overlay: await resolveLinks(rootDiskFile(vm, "snapshot")),
    };
  }

  /**
   * One at a time: between the moment when a loop device on an image is made and the moment when something is on it, it looks like one that
   * another VM of this image has left.
   */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => undefined);
    return result;
  }
}

function isBase(loop: LoopDevice, files: BackingFiles): boolean {
  return loop.backingFile === files.base && loop.readOnly;
}

function isOverlay(loop: LoopDevice, files: BackingFiles): boolean {
  return loop.backingFile === files.overlay;
}

/** The real path of what is there of a path, with the rest behind it. */
async function resolveLinks(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    const parent = dirname(path);
    if (!hasErrorCode(error, "ENOENT", "ENOTDIR") || parent === path)
      throw error;
    return join(await resolveLinks(parent), basename(path));
  }
}
