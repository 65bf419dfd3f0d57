import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type {
  CommandRunner,
  Image,
  RootDiskNames,
  VmRecord,
} from "@banger/core";
import {
  fakeHostFacts,
  fakeImage,
  fakeVm,
  fakeVmId,
  memoryLogger,
} from "@banger/core/testing";
import { InstalledRootDisks } from "../../src/disks/installed-root-disks.js";
import type { DeviceTree } from "../../src/disks/loop-devices.js";
import type { CloneFile } from "../../src/disks/reflink-root-disk.js";
import { RootDiskProbe } from "../../src/disks/root-disk-probe.js";

export const never = new AbortController().signal;

/** Eight sectors for each of three blocks. */
export const imageBytes = 3 * 4096;

/** An image and VMs in a directory, with what the VMs' records say. */
export class DiskWorld {
  readonly directory: string;
  readonly image: Image;
  #vm: VmRecord;

  private constructor(directory: string, vm: VmRecord) {
    this.directory = directory;
    this.image = fakeImage({
      files: { ...fakeImage().files, rootfs: this.imageFile() },
    });
    this.#vm = vm;
  }

  static async in(
    directory: string,
    runtime: Partial<VmRecord["runtime"]> = {},
    id = fakeVmId(0x12_3456_789a),
  ): Promise<DiskWorld> {
    const own = join(directory, "vms", id);
    await mkdir(own, { recursive: true });
    await mkdir(join(directory, "images"), { recursive: true });
    const vm = fakeVm({ id, runtime: { directory: own, ...runtime } });
    const world = new DiskWorld(directory, vm);
    await writeFile(world.imageFile(), Buffer.alloc(imageBytes, "image "));
    return world;
  }

  get vm(): VmRecord {
    return this.#vm;
  }

  imageFile(): string {
    return join(this.directory, "images/rootfs.ext4");
  }

  file(name: string): string {
    return join(this.#vm.runtime.directory, name);
  }

  /** What the store does with the names it gets. */
  readonly record = async (names: RootDiskNames): Promise<void> => {
    this.set(names);
  };

  set(runtime: Partial<VmRecord["runtime"]>): void {
    this.#vm = { ...this.#vm, runtime: { ...this.#vm.runtime, ...runtime } };
  }

  /** The disks of a new process. */
  disks(options: {
    readonly commands: CommandRunner;
    readonly clone?: CloneFile;
    readonly devices?: DeviceTree;
    readonly isRoot?: boolean;
  }): InstalledRootDisks {
    const { isRoot = true, ...deps } = options;
    const hostFacts = fakeHostFacts({ isRoot });
    return new InstalledRootDisks({
      ...deps,
      logger: memoryLogger(),
      rootDiskProbe: new RootDiskProbe({ ...deps, hostFacts }),
      imageFile: () => this.imageFile(),
      pauseMs: 1,
    });
  }
}

/** A file system that shares no blocks. */
export const noClone: CloneFile = () =>
  Promise.reject(
    Object.assign(new Error("not supported"), { code: "ENOTSUP" }),
  );
