import { createHash } from "node:crypto";
import { homedir, userInfo } from "node:os";
import { basename, isAbsolute, join, resolve } from "node:path";
import { systemLayout } from "./system/layout.js";
import { readOwnInstall, type OwnInstall } from "./system/own-install.js";

// Node's own modules only: the bundled CLI imports this file to find the daemon's socket before anything else is loaded.

/**
 * Bytes of `sun_path`, the terminating zero included: a socket's path must be shorter than this.
 * @see unix(7), Linux `struct sockaddr_un`
 */
export const socketPathLimit = 108;

/** Longest name of a socket in a VM's run directory, bytes: what {@link resolvePaths} leaves room for. */
export const socketNameLimit = 24;

const vmIdLength = 12;

/** Where everything is that an install creates. All paths are absolute. */
export interface Paths {
  /** the resolved `BANGER_HOME`, to be handed on to a child process; absent in the XDG layout */
  readonly home?: string;
  readonly configDirectory: string;
  readonly configFile: string;
  readonly stateDirectory: string;
  /** SQLite; `-wal` and `-shm` files appear beside it */
  readonly database: string;
  /** one directory for each VM, named by its id */
  readonly vmsDirectory: string;
  /** one directory for each image, named by its id */
  readonly imagesDirectory: string;
  /** one directory for each kernel, named by it */
  readonly kernelsDirectory: string;
  /** the install's own key pair */
  readonly sshDirectory: string;
  readonly cacheDirectory: string;
  /** OCI blobs */
  readonly ociCacheDirectory: string;
  readonly downloadsDirectory: string;
  /** sockets; short enough for the sockets of every VM */
  readonly runDirectory: string;
  /** `runDirectory` and those parents of it that banger makes itself in a directory open to others, outermost first */
  readonly runParents: readonly string[];
  /** the daemon's API */
  readonly daemonSocket: string;
  /** jails of VMMs, one directory for each, unless the configuration says otherwise */
  readonly jailDirectory: string;
  /** the root helper's; only in the layout of a system install */
  readonly helperSocket?: string;
  /** who starts daemon and helper; only in the layout of a system install */
  readonly service?: "systemd" | "none";
  /** build of the installed daemon; only in the layout of a system install */
  readonly installedBuild?: string;
}

/** Names of the sockets in a VM's run directory. */
export const vmSocketNames = {
  /** QEMU's machine protocol */
  qmp: "qmp.sock",
  /** Firecracker's HTTP API, or a link to it in a jail */
  api: "api.sock",
  /** host end of the guest agent's channel */
  agent: "agent.sock",
  /** a VMM's way to its guest's vsock ports */
  vsock: "vsock.sock",
} as const;

/** What the layout depends on besides the environment. */
export interface PathOwner {
  readonly uid: number;
  /** used when HOME is unset or not absolute */
  readonly homeDirectory: string;
}

/**
 * The layout: that of the host's system install when it is this user's, else XDG base directories; all of it below `BANGER_HOME` when
 * that is set. An XDG variable that is empty or not absolute is ignored, as the XDG specification asks; a relative `BANGER_HOME` counts
 * from the working directory.
 *
 * A run directory too long for a VM's sockets is replaced by a short one that is derived from it, so that daemon and CLI agree.
 */
export function resolvePaths(
  env: Readonly<Record<string, string | undefined>>,
  owner: PathOwner = processOwner(),
  findInstall: (uid: number) => OwnInstall | undefined = readOwnInstall,
): Paths {
  const absolute = (name: string): string | undefined => {
    const value = env[name];
    return value !== undefined && isAbsolute(value)
      ? resolve(value)
      : undefined;
  };
  const home = env["BANGER_HOME"] ? resolve(env["BANGER_HOME"]) : undefined;
  if (home === undefined) {
    const install = findInstall(owner.uid);
    if (install) return systemPaths(install);
  }
  const userHome = absolute("HOME") ?? owner.homeDirectory;
  const base = (variable: string, fallback: string): string =>
    join(absolute(variable) ?? join(userHome, fallback), "banger");

  const runtime = absolute("XDG_RUNTIME_DIR");
  const shared = `/tmp/banger-runtime-${owner.uid.toString()}`;
  const configDirectory = home ?? base("XDG_CONFIG_HOME", ".config");
  const stateDirectory =
    home === undefined
      ? base("XDG_STATE_HOME", ".local/state")
      : join(home, "state");
  const isUsual =
    stateDirectory === join(owner.homeDirectory, ".local/state/banger");
  const runParents =
    home !== undefined
      ? fitRunDirectory(join(home, "run"), runtime, shared)
      : isUsual
        ? fitRunDirectory(
            runtime === undefined ? shared : join(runtime, "banger"),
            runtime,
            shared,
          )
        : // Another home of the same user is another install: it must not find this one's daemon.
          shortRunDirectory(stateDirectory, runtime, shared);
  const cacheDirectory =
    home === undefined ? base("XDG_CACHE_HOME", ".cache") : join(home, "cache");
  return {
    ...(home === undefined ? {} : { home }),
    ...pathsBelow({ configDirectory, stateDirectory, cacheDirectory }),
    ...runPaths(runParents),
    jailDirectory: join(stateDirectory, "jail"),
  };
}

function systemPaths({ service, build }: OwnInstall): Paths {
  const { runDirectory, jailDirectory, helperSocket } = systemLayout;
  return {
    ...pathsBelow(systemLayout),
    ...runPaths([runDirectory]),
    ...{ jailDirectory, helperSocket, service, installedBuild: build },
  };
}

function pathsBelow({
  configDirectory,
  stateDirectory,
  cacheDirectory,
}: Pick<Paths, "configDirectory" | "stateDirectory" | "cacheDirectory">): Omit<
  Paths,
  "runDirectory" | "runParents" | "daemonSocket" | "jailDirectory"
> {
  return {
    configDirectory,
    configFile: join(configDirectory, "config.toml"),
    stateDirectory,
    database: join(stateDirectory, "state.db"),
    vmsDirectory: join(stateDirectory, "vms"),
    imagesDirectory: join(stateDirectory, "images"),
    kernelsDirectory: join(stateDirectory, "kernels"),
    sshDirectory: join(stateDirectory, "ssh"),
    cacheDirectory,
    ociCacheDirectory: join(cacheDirectory, "oci"),
    downloadsDirectory: join(cacheDirectory, "downloads"),
  };
}

function runPaths(
  runParents: readonly [string, ...string[]],
): Pick<Paths, "runDirectory" | "runParents" | "daemonSocket"> {
  const runDirectory = runParents.at(-1) ?? runParents[0];
  const daemonSocket = join(runDirectory, "bangerd.sock");
  return { runDirectory, runParents, daemonSocket };
}

/** The account's home, whatever HOME says; HOME where there is no account of this number. */
function processOwner(): PathOwner {
  try {
    const { uid, homedir: homeDirectory } = userInfo();
    return { uid, homeDirectory };
  } catch (error) {
    if (!(error instanceof Error) || !("syscall" in error)) throw error;
    return { uid: process.getuid?.() ?? 0, homeDirectory: homedir() };
  }
}

/** A VM's own directory. */
export function vmDirectory(paths: Paths, id: string): string {
  return join(paths.vmsDirectory, id);
}

/** The directory of a VM's sockets. */
export function vmRunDirectory(paths: Paths, id: string): string {
  return join(paths.runDirectory, "vms", id);
}

/**
 * Path of a socket in a VM's run directory.
 * @throws Error when `name` is no plain file name or the path does not fit into a socket address: both are mistakes of the caller
 */
export function socketPath(runDirectory: string, name: string): string {
  const path = join(runDirectory, name);
  if (basename(path) !== name || !fitsSocket(path)) {
    throw new Error(`${path} cannot be the path of a socket`);
  }
  return path;
}

function fitsSocket(path: string): boolean {
  return Buffer.byteLength(path) < socketPathLimit;
}

/** @returns the run directory as the last entry, before it the parents that we make in a directory open to others */
function fitRunDirectory(
  wanted: string,
  runtime: string | undefined,
  shared: string,
): readonly [string, ...string[]] {
  return wanted === shared || fitsVmSockets(wanted)
    ? [wanted]
    : shortRunDirectory(wanted, runtime, shared);
}

/** A short directory derived from a long name. Two installs may share its parent, which is checked like the directory that it holds. */
function shortRunDirectory(
  name: string,
  runtime: string | undefined,
  shared: string,
): readonly [string, ...string[]] {
  const hash = createHash("sha256").update(name).digest("hex").slice(0, 12);
  const inRuntime =
    runtime === undefined ? undefined : join(runtime, "banger", hash);
  return inRuntime !== undefined && fitsVmSockets(inRuntime)
    ? [join(runtime ?? "", "banger"), inRuntime]
    : [shared, join(shared, hash)];
}

function fitsVmSockets(directory: string): boolean {
  const longest = `vms/${"0".repeat(vmIdLength)}/${"s".repeat(socketNameLimit)}`;
  return fitsSocket(join(directory, longest));
}
