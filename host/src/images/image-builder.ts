import {
  chmod,
  cp,
  mkdir,
  open,
  readdir,
  stat,
  writeFile,
} from "node:fs/promises";
import {
  BangerError,
  CommandFailedError,
  runStage,
  ToolMissingError,
  type Command,
  type CommandRunner,
  type HostFacts,
  type OperationContext,
  type Privileged,
} from "@banger/core";
import {
  DiskFullError,
  requireFreeBytes,
  saysDiskFull,
} from "../files/disk-full.js";
import { aptSources } from "./apt-sources.js";
import { imageFiles, type ImageManifest } from "./image-manifest.js";
import { endBuild } from "./end-build.js";
import { buildInitramfs } from "./initramfs.js";
import { readList, type Recipe } from "./recipe.js";
import { RootNamespace } from "./root-namespace.js";

class ImageBuildError extends BangerError {
  override readonly code = "ERR_IMAGE_BUILD";
  constructor(name: string, problem: string, cause?: unknown) {
    super(`the image ${name} could not be built: ${problem}`, {
      hint: "The daemon's log has every line of the build: banger daemon logs",
      cause,
    });
  }
}

/** What a build takes at most of the file system that it works in, and of the one that holds the images, bytes. */
const neededBytes = 2 * 2 ** 30;
const workParent = "/var/tmp";
/** Longest build, ms; a minute is usual, a slow mirror takes many. */
const buildLimitMs = 45 * 60_000;
/** Size of the root file system as the guest sees it; the file is sparse. */
const rootSizeBytes = 8 * 2 ** 30;
/**
 * Everything is initialised, so that the guest's kernel has no background work, and the file is sparse, so that nothing is written
 * for it. (mke2fs(8): assume_storage_prezeroed)
 */
const ext4Options = [
  ...[
    "-q",
    "-F",
    "-t",
    "ext4",
    "-m",
    "0",
    "-b",
    "4096",
    "-i",
    "65536",
    "-J",
    "size=32",
  ],
  "-E",
  "lazy_itable_init=0,lazy_journal_init=0,assume_storage_prezeroed=1,nodiscard,root_owner=0:0",
];

/** Builds an image from Debian's packages with `mmdebstrap`, as root or as a user with subordinate ids. */
export class ImageBuilder {
  readonly #commands: CommandRunner;
  readonly #hostFacts: HostFacts;
  readonly #privileged: Pick<Privileged, "kind" | "request">;
  readonly #asRoot: RootNamespace;
  readonly #mirror: string | undefined;
  readonly #freeBytes: ((path: string) => Promise<number>) | undefined;

  constructor(options: {
    commands: CommandRunner;
    hostFacts: HostFacts;
    privileged: Pick<Privileged, "kind" | "request">;
    mirror?: string | undefined;
    /** default: what the system says */
    freeBytes?: (path: string) => Promise<number>;
  }) {
    this.#commands = options.commands;
    this.#hostFacts = options.hostFacts;
    this.#privileged = options.privileged;
    this.#mirror = options.mirror;
    this.#asRoot = new RootNamespace(options);
    this.#freeBytes = options.freeBytes;
  }

  /**
   * Where a build works beside its staging directory: the hooks of mmdebstrap run as another user and pass through a shell, so this
   * path is short, plain and, until the packages are installed, open to read. Derived from the staging name, so that a later daemon finds it.
   */
  workDirectory(id: string): string {
    return `${workParent}/banger-build-${id}`;
  }

  /** Fills `staging` with an image's files, the manifest last. On a throw `remove` takes away what is left. @throws DiskFullError before anything is done */
  async build(
    recipe: Recipe,
    id: string,
    staging: string,
    operation: OperationContext,
  ): Promise<void> {
    const what = `building the image ${recipe.name}`;
    for (const path of [staging, workParent])
      await requireFreeBytes(what, path, neededBytes, this.#freeBytes);
    const work = this.workDirectory(id);
    await mkdir(work, { mode: 0o755 });
    // apt gives up its rights before it downloads, and without access it would not.
    await chmod(work, 0o755);
    await cp(recipe.directory, `${work}/recipe`, { recursive: true });
    await runStage(
      operation,
      "packages",
      "downloading and installing Debian packages",
      () => this.#installPackages(recipe, work, operation),
    );
    // What follows makes set-id programs, and needs no other user.
    await chmod(work, 0o700);
    await runStage(operation, "unpack", "unpacking the tree", () =>
      this.#unpack(work, staging, operation.signal),
    );
    const kernelVersion = await runStage(
      operation,
      "initramfs",
      "kernel and initramfs",
      () =>
        this.#makeBootFiles(recipe, `${work}/tree`, staging, operation.signal),
    );
    await runStage(
      operation,
      "file-system",
      "making the root file system",
      () => this.#makeFileSystem(`${work}/tree`, staging, operation.signal),
    );
    const manifest: ImageManifest = {
      version: 1,
      id,
      name: recipe.name,
      createdAt: new Date().toISOString(),
      distribution: recipe.distribution,
      architecture: this.#hostFacts.architecture,
      kernelVersion,
      sizeBytes: await allocatedBytes(staging),
      rootSizeBytes,
      workSeed: true,
      agentTransports: ["virtio-serial", "vsock"],
    };
    await writeFile(
      `${staging}/${imageFiles.manifest}`,
      JSON.stringify(manifest, null, 2),
      {
        mode: 0o600,
      },
    );
    await this.#asRoot.removeTree(work);
  }

  /** Removes the traces of a build. Idempotent. */
  async remove(id: string, staging: string): Promise<void> {
    // A build of a daemon that was killed goes on by itself.
    await endBuild(this.workDirectory(id));
    await this.#asRoot.removeTree(this.workDirectory(id));
    await this.#asRoot.removeTree(staging);
  }

  async #installPackages(
    recipe: Recipe,
    work: string,
    operation: OperationContext,
  ): Promise<void> {
    const { signal, progress, logger } = operation;
    const packages = await readList(`${recipe.directory}/packages`);
    const sources = this.#mirror ?? (await aptSources(recipe.suite));
    // Many lines may follow the one that says why.
    let fullLine: string | undefined;
    const command: Command = {
      file: "mmdebstrap",
      args: [
        `--mode=${this.#hostFacts.isRoot ? "root" : "unshare"}`,
        ...["--variant=apt", "--architectures=amd64", "--format=tar"],
        ...[
          '--aptopt=Acquire::Languages "none"',
          '--aptopt=APT::Install-Recommends "false"',
        ],
        ...["man", "info", "locale", "doc"].map(
          (name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`,
        ),
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        `--include=${packages.join(",")}`,
        `--customize-hook=${work}/recipe/kernel.sh "$1"`,
        `--customize-hook=${work}/recipe/customize.sh "$1"`,
        ...[
          recipe.suite,
          `${work}/root.tar`,
          ...(sources === undefined ? [] : [sources]),
        ],
      ],
      env: { TMPDIR: work },
      timeoutMs: buildLimitMs,
      maxOutputBytes: 16 * 2 ** 20,
      signal,
      onLine: (line) => {
        logger.debug("mmdebstrap", { line });
        if (saysDiskFull(line)) fullLine ??= line;
        const step = /^I: (?!success)(.*)/.exec(line)?.[1];
        if (step !== undefined)
          progress("packages", step.replaceAll(`${work}/`, ""));
      },
    };
    try {
      // It makes its namespace itself, but for one whose ids somebody else has to map.
      if (this.#privileged.kind === "helper") await this.#asRoot.run(command);
      else await this.#commands.run(command);
    } catch (error) {
      if (fullLine === undefined || !(error instanceof CommandFailedError))
        throw error;
      throw new DiskFullError(`building the image ${recipe.name}`, error);
    }
  }

  async #unpack(
    work: string,
    staging: string,
    signal: AbortSignal,
  ): Promise<void> {
    await mkdir(`${work}/tree`, { mode: 0o755 });
    await this.#asRoot.run({
      file: "tar",
      args: [
        ...["-x", "-p", "--numeric-owner", "--xattrs", "--xattrs-include=*"],
        ...[
          "-f",
          `${work}/root.tar`,
          "-C",
          `${work}/tree`,
          "--exclude=./dev/*",
        ],
      ],
      timeoutMs: 600_000,
      signal,
    });
    await this.#asRoot.run({
      file: "tar",
      args: [
        ...[
          "-c",
          "--numeric-owner",
          "--owner=0",
          "--group=0",
          "-C",
          `${work}/tree/root`,
        ],
        ...["-f", `${staging}/${imageFiles.workSeed}`, "."],
      ],
      timeoutMs: 60_000,
      signal,
    });
  }

  /** @returns the kernel's version */
  async #makeBootFiles(
    recipe: Recipe,
    tree: string,
    staging: string,
    signal: AbortSignal,
  ): Promise<string> {
    const [version, ...more] = await readdir(`${tree}/usr/lib/modules`);
    if (version === undefined || more.length > 0) {
      throw new ImageBuildError(
        recipe.name,
        "its tree does not hold exactly one kernel",
      );
    }
    await this.#asRoot.run({
      file: "mv",
      args: ["--", `${tree}/boot/vmlinuz`, `${staging}/${imageFiles.kernel}`],
      timeoutMs: 60_000,
      signal,
    });
    const busybox = await this.#commands.find("busybox");
    if (busybox === undefined) throw new ToolMissingError("busybox");
    const initramfs = await buildInitramfs(
      busybox,
      `${tree}/usr/lib/modules/${version}`,
    );
    await writeFile(`${staging}/${imageFiles.initrd}`, initramfs, {
      mode: 0o600,
    });
    return version;
  }

  async #makeFileSystem(
    tree: string,
    staging: string,
    signal: AbortSignal,
  ): Promise<void> {
    const path = `${staging}/${imageFiles.rootfs}`;
    const file = await open(path, "wx", 0o600);
    try {
      await file.truncate(rootSizeBytes);
    } finally {
      await file.close();
    }
    await this.#asRoot.run({
      file: "mke2fs",
      args: [...ext4Options, "-L", "banger", "-d", tree, path],
      timeoutMs: 600_000,
      signal,
    });
  }
}

/** Space that a directory's files take, bytes: sparse files count what is written. */
async function allocatedBytes(directory: string): Promise<number> {
  let bytes = 0;
  for (const name of await readdir(directory)) {
    // stat(2): blocks are of 512 bytes, whatever the file system's are.
    bytes += (await stat(`${directory}/${name}`)).blocks * 512;
  }
  return bytes;
}
