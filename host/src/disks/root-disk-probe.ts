import type { DiskFormat, Privileged, RootDiskStrategy } from "@banger/core";
import type { MissingTarget } from "./device-mapper.js";
import type { DiskRequests } from "./disk-requests.js";
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
  readonly #privileged: Privileged;
  readonly #requests: Pick<DiskRequests, "checkSnapshots">;
  readonly #jailerEnabled: boolean;
  readonly #clone: CloneFile;
  readonly #known = new Map<string, Promise<RootDiskObstacle | undefined>>();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(deps: {
    readonly privileged: Privileged;
    readonly requests: DiskRequests;
    /** are VMMs that read raw disks in a jail, where there is root or the root helper to make one? */
    readonly jailerEnabled: boolean;
    readonly clone?: CloneFile;
  }) {
    this.#privileged = deps.privileged;
    this.#requests = deps.requests;
    this.#jailerEnabled = deps.jailerEnabled;
    this.#clone = deps.clone ?? cloneFile;
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
    if (this.#privileged.kind === "none")
      return {
        reason: "only root makes device-mapper snapshots",
        fix: "Install the root helper, if you want them: sudo banger system install",
      };
    if (this.#privileged.kind === "helper" && !this.#jailerEnabled)
      return {
        reason:
          "a device-mapper snapshot is root's, so only a VMM in a jail gets one",
        fix: "Set vmm.jailer_enabled = true",
      };
    const problem = await this.#privileged.problem();
    if (problem)
      return { reason: problem.message, fix: problem.hint ?? "See above" };
    const obstacle = await this.#remember("snapshot", async () => {
      const { signal } = new AbortController();
      const request = this.#requests.checkSnapshots;
      return (await this.#privileged.request(request, {}, signal)).obstacle;
    });
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
