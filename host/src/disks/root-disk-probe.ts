import type {
  CommandRunner,
  DiskFormat,
  HostFacts,
  RootDiskStrategy,
} from "@banger/core";
import { DeviceMapper, type MissingTarget } from "./device-mapper.js";
import type { DeviceTree } from "./loop-devices.js";
import {
  canReflink,
  cloneFile,
  reflinkObstacle,
  type CloneFile,
} from "./reflink-root-disk.js";

/** What speaks against a kind of root disk on this host, and one step that helps. */
export type RootDiskObstacle = MissingTarget;

/** The kind of root disk that a host gives for a format, and why not a better one. */
export interface BestRootDisk {
  readonly strategy: RootDiskStrategy;
  /** the better ones that this host does not give, best first */
  readonly obstacles: readonly RootDiskObstacle[];
}

/** Finds out what root disks this host gives, by trying; what it found counts until it is told to forget. */
export class RootDiskProbe {
  readonly #hostFacts: HostFacts;
  readonly #clone: CloneFile;
  readonly #mapper: DeviceMapper;
  readonly #known = new Map<string, Promise<RootDiskObstacle | undefined>>();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(deps: {
    readonly commands: CommandRunner;
    readonly hostFacts: HostFacts;
    readonly clone?: CloneFile;
    readonly devices?: DeviceTree;
  }) {
    this.#hostFacts = deps.hostFacts;
    this.#clone = deps.clone ?? cloneFile;
    this.#mapper = new DeviceMapper(deps.commands, deps.devices);
  }

  /** Forgets what was found, such as for a doctor. */
  forget(): void {
    this.#known.clear();
  }

  /**
   * @param directory on the file system that the disk will be on
   * @param image root file system that the disk comes from; without it one in the same place is assumed
   */
  async best(
    format: DiskFormat,
    directory: string,
    image: string | undefined,
  ): Promise<BestRootDisk> {
    if (format === "qcow2") return { strategy: "qcow2", obstacles: [] };
    const reflink = await this.#reflinkObstacle(directory, image);
    if (!reflink) return { strategy: "reflink", obstacles: [] };
    const snapshot = await this.snapshotObstacle();
    return snapshot
      ? { strategy: "copy", obstacles: [reflink, snapshot] }
      : { strategy: "snapshot", obstacles: [reflink] };
  }

  /** An obstacle is looked at anew each time: a module may have been loaded meanwhile. */
  async snapshotObstacle(): Promise<RootDiskObstacle | undefined> {
    if (!this.#hostFacts.isRoot)
      return {
        reason: "only root makes device-mapper snapshots",
        fix: "Run banger as root, if you want them",
      };
    const obstacle = await this.#remember("snapshot", () =>
      this.#mapper.missingTarget("snapshot"),
    );
    if (obstacle) this.#known.delete("snapshot");
    return obstacle;
  }

  #reflinkObstacle(
    directory: string,
    image: string | undefined,
  ): Promise<RootDiskObstacle | undefined> {
    // All VMs are in one directory and all images in another.
    return this.#remember(
      image === undefined ? "clone" : "reflink",
      async () => {
        // After a `forget` there may be two for one directory, which would take each other's files away.
        const trial = this.#turn.then(() =>
          canReflink(this.#clone, directory, image),
        );
        this.#turn = trial.catch(() => undefined);
        return (await trial) ? undefined : reflinkObstacle;
      },
    );
  }

  /** Not with the signal of whoever asks first: others wait for the same answer. Failures are not remembered. */
  #remember(
    key: string,
    look: () => Promise<RootDiskObstacle | undefined>,
  ): Promise<RootDiskObstacle | undefined> {
    const known = this.#known.get(key);
    if (known) return known;
    const looking = look();
    this.#known.set(key, looking);
    looking.catch(() => {
      if (this.#known.get(key) === looking) this.#known.delete(key);
    });
    return looking;
  }
}
