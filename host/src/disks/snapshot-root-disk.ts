import { stat } from "node:fs/promises";
import {
  JoinedError,
  throwIfCancelled,
  UndoStack,
  type Image,
  type Logger,
  type Privileged,
  type RootDiskNames,
  type VmRecord,
} from "@banger/core";
import {
  resolveLinks,
  snapshotPartFile,
  type SnapshotPart,
} from "./backing-files.js";
import type { DiskRequests, FoundSnapshot } from "./disk-requests.js";
import {
  isOnFile,
  listLoopDevices,
  type DeviceTree,
  type LoopDevice,
} from "./loop-devices.js";
import { RootDiskBusyError } from "./root-disk-errors.js";
import { hasFile, rootDiskFile } from "./root-disk-files.js";
import { snapshotNames } from "./snapshot-names.js";
import { ensureOverlay } from "./snapshot-overlay.js";
import { snapshotTable } from "./snapshot-table.js";

/** Another program may take the number that was free a moment ago; this often in a row it never does. */
const attachAttempts = 8;

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
  readonly #privileged: Privileged;
  readonly #requests: DiskRequests;
  readonly #devices: DeviceTree;
  readonly #stateDirectory: string;
  readonly #logger: Logger;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(deps: {
    readonly privileged: Privileged;
    readonly requests: DiskRequests;
    readonly devices: DeviceTree;
    /** where images and VMs are */
    readonly stateDirectory: string;
    readonly logger: Logger;
  }) {
    this.#privileged = deps.privileged;
    this.#requests = deps.requests;
    this.#devices = deps.devices;
    this.#stateDirectory = deps.stateDirectory;
    this.#logger = deps.logger;
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
    const overlay = rootDiskFile(vm, "snapshot");
    await ensureOverlay(vm, overlay, baseBytes);
    const files = await this.#backingFiles(vm);
    await this.#inTurn(async () => {
      throwIfCancelled(signal, `making the root disk of ${vm.name}`);
      const { device, table } = await this.#inspect(vm, signal);
      if (device === "foreign") {
        const { dmDevice } = snapshotNames(vm);
        throw new RootDiskBusyError(dmDevice, `is not of ${vm.name}`);
      }
      const found =
        table && (await this.#findWhole(vm, files, baseBytes, table));
      if (found) {
        const isRecorded =
          vm.runtime.baseLoop === found.baseLoop &&
          vm.runtime.cowLoop === found.cowLoop &&
          vm.runtime.dmName === found.dmName;
        if (!isRecorded) await record(found);
        return;
      }
      // What a run that was cut off has left is no part of a new one.
      if (device) await this.#removeDevice(vm);
      await this.#removeLoops(vm, files);
      await this.#make(vm, record, signal);
    });
  }

  /** Removes the devices of one run; the overlay stays. Idempotent, runs to the end. @throws JoinedError */
  async release(vm: VmRecord): Promise<void> {
    const files = await this.#backingFiles(vm);
    if (!(await this.#mayHaveDevices(vm, files))) return;
    const failures: unknown[] = [];
    await this.#removeDevice(vm).catch((error: unknown) =>
      failures.push(error),
    );
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
      part: SnapshotPart,
      name: "baseLoop" | "cowLoop",
    ): Promise<string> =>
      this.#attach(
        vm,
        part,
        async (device) => {
          undo.push(device, () => this.#detach(vm, device, part));
          await claim({ [name]: device });
        },
        signal,
      );
    try {
      const baseLoop = await attach("base", "baseLoop");
      const cowLoop = await attach("overlay", "cowLoop");
      const { dmName, dmDevice } = snapshotNames(vm);
      undo.push(dmDevice, () => this.#removeDevice(vm));
      await claim({ dmName, dmDevice });
      await this.#privileged.request(
        this.#requests.createSnapshot,
        { vm: vm.id, image: vm.imageId, baseLoop, cowLoop },
        signal,
      );
    } catch (error) {
      const leftovers = await undo.unwind();
      if (leftovers.length === 0) throw error;
      throw new JoinedError(
        `the root disk of ${vm.name} was not made, and devices are left`,
        [error, ...leftovers],
      );
    }
  }

  /**
   * Puts a file on a free loop device.
   * @param claim awaited before a device is made, with its name; called again with another name when somebody else took that one
   */
  async #attach(
    vm: VmRecord,
    part: SnapshotPart,
    claim: (device: string) => Promise<void>,
    signal: AbortSignal,
  ): Promise<string> {
    const { findFreeLoop, attachLoop } = this.#requests;
    for (let attempt = 1; attempt <= attachAttempts; attempt++) {
      const { device } = await this.#privileged.request(
        findFreeLoop,
        {},
        signal,
      );
      await claim(device);
      const input = { vm: vm.id, image: vm.imageId, part, device };
      const { attached } = await this.#privileged.request(
        attachLoop,
        input,
        signal,
      );
      if (attached) return device;
    }
    throw new RootDiskBusyError(
      "/dev/loop-control",
      "names no loop device that stays free",
    );
  }

  /** The names of the device when it has exactly the table that `ensure` would load, over the right files. */
  async #findWhole(
    vm: VmRecord,
    files: BackingFiles,
    baseBytes: number,
    table: string,
  ): Promise<Required<RootDiskNames> | undefined> {
    const loops = await listLoopDevices(this.#devices);
    for (const base of loops.filter((loop) => isBase(loop, files)))
      for (const cow of loops.filter((loop) => isOverlay(loop, files)))
        if (table === snapshotTable(baseBytes, base.number, cow.number))
          return {
            baseLoop: base.device,
            cowLoop: cow.device,
            ...snapshotNames(vm),
          };
    return undefined;
  }

  /** Those of the overlay wherever they are, and those of the image that the record names and nothing is on. */
  async #removeLoops(vm: VmRecord, files: BackingFiles): Promise<void> {
    const failures: unknown[] = [];
    for (const loop of await listLoopDevices(this.#devices)) {
      const isOurBase =
        isOnFile(loop, files.base) && loop.device === vm.runtime.baseLoop;
      if (!isOurBase && !isOverlay(loop, files)) continue;
      const part = isOurBase ? "base" : "overlay";
      await this.#detach(vm, loop.device, part).catch((error: unknown) =>
        failures.push(error),
      );
    }
    // A second device on the overlay would be a second writer, so nobody may go on as if this one were gone.
    for (const { device } of await this.#overlayLoops(files))
      failures.push(new RootDiskBusyError(device, "is still in use"));
    if (failures.length > 0)
      throw new JoinedError(`loop devices of ${vm.name} are left`, failures);
  }

  async #overlayLoops(files: BackingFiles): Promise<readonly LoopDevice[]> {
    const loops = await listLoopDevices(this.#devices);
    return loops.filter((loop) => isOverlay(loop, files));
  }

  #inspect(vm: VmRecord, signal: AbortSignal): Promise<FoundSnapshot> {
    const { inspectSnapshot } = this.#requests;
    return this.#privileged.request(inspectSnapshot, { vm: vm.id }, signal);
  }

  async #removeDevice(vm: VmRecord): Promise<void> {
    const { signal } = new AbortController();
    const { removeSnapshot } = this.#requests;
    await this.#privileged.request(removeSnapshot, { vm: vm.id }, signal);
  }

  async #detach(
    vm: VmRecord,
    device: string,
    part: SnapshotPart,
  ): Promise<void> {
    const { signal } = new AbortController();
    const input = { vm: vm.id, image: vm.imageId, part, device };
    await this.#privileged.request(this.#requests.detachLoop, input, signal);
  }

  /** As the kernel names them: without symbolic links. They need not exist. */
  async #backingFiles(vm: VmRecord): Promise<BackingFiles> {
    const install = { stateDirectory: this.#stateDirectory };
    const which = { vm: vm.id, image: vm.imageId };
    return {
      base: await resolveLinks(snapshotPartFile(install, which, "base")),
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
  return isOnFile(loop, files.base) && loop.readOnly;
}

function isOverlay(loop: LoopDevice, files: BackingFiles): boolean {
  return isOnFile(loop, files.overlay);
}
