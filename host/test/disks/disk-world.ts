import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type {
  CommandRunner,
  BangerError,
  Image,
  Install,
  Privileged,
  RootDiskNames,
  VmRecord,
} from "@banger/core";
import {
  fakeImage,
  fakeInstall,
  FakePrivileged,
  fakeVm,
  fakeVmId,
  memoryLogger,
} from "@banger/core/testing";
import {
  diskRequests,
  type DiskRequests,
} from "../../src/disks/disk-requests.js";
import { InstalledRootDisks } from "../../src/disks/installed-root-disks.js";
import { hostDevices, type DeviceTree } from "../../src/disks/loop-devices.js";
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
    const vm = fakeVm({ id, runtime: { directory: own, ...runtime } });
    const world = new DiskWorld(directory, vm);
    await mkdir(dirname(world.imageFile()), { recursive: true });
    await writeFile(world.imageFile(), Buffer.alloc(imageBytes, "image "));
    return world;
  }

  get vm(): VmRecord {
    return this.#vm;
  }

  imageFile(): string {
    return join(this.directory, `images/${fakeImage().id}/rootfs.ext4`);
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

  /** The install that all this is of: the one who runs the tests. */
  get install(): Install {
    return fakeInstall({
      owner: { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 },
      stateDirectory: this.directory,
    });
  }

  jailBase(): string {
    return join(this.directory, "jails");
  }

  requests(devices: DeviceTree = hostDevices): DiskRequests {
    return diskRequests({ jailBase: this.jailBase(), devices, pauseMs: 1 });
  }

  /** The disks of a new process. */
  disks(options: {
    readonly commands: CommandRunner;
    readonly clone?: CloneFile;
    readonly devices?: DeviceTree;
    /** default: this process is root itself */
    readonly kind?: Privileged["kind"];
    readonly jailerEnabled?: boolean;
    readonly helperProblem?: BangerError;
  }): InstalledRootDisks {
    const { kind = "in-process", jailerEnabled = true, ...deps } = options;
    const privileged = new FakePrivileged(options.commands, this.install);
    privileged.kind = kind;
    privileged.missing = options.helperProblem;
    const requests = this.requests(options.devices);
    return new InstalledRootDisks({
      ...deps,
      logger: memoryLogger(),
      ...{ privileged, requests, stateDirectory: this.directory },
      rootDiskProbe: new RootDiskProbe({
        ...{ ...deps, privileged, requests, jailerEnabled },
      }),
    });
  }
}

/** A file system that shares no blocks. */
export const noClone: CloneFile = () =>
  Promise.reject(
    Object.assign(new Error("not supported"), { code: "ENOTSUP" }),
  );
