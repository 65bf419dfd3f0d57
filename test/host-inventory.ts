import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";

/** Everything on the host that banger could have left, a line each. */
export type HostInventory = readonly string[];

/**
 * Looks at the host: processes that name the home, sockets below it and of its processes, TAP devices and bridges, addresses, loop and
 * device-mapper devices, mounts, firewall rules, build directories, rows, and every file below the home that belongs to a VM, to an
 * unfinished image or to nobody. The daemon itself, its socket, its logs and what an install makes once are expected.
 */
export function takeInventory(home: string): HostInventory {
  const own = ownProcesses(home);
  return [
    ...own.flatMap(({ line }) => line ?? []),
    ...unixSockets(home),
    ...own.flatMap(({ pid }) => listeningSockets(pid)),
    ...names("/sys/class/net").map((name) => `network device ${name}`),
    ...addresses(),
    ...names("/sys/block")
      .filter((name) => isBackedLoop(name) || name.startsWith("dm-"))
      .map((name) => `block device ${name}`),
    ...mounts(),
    ...firewall(),
    ...["/tmp", "/var/tmp"].flatMap((directory) =>
      names(directory)
        .filter((name) => /^(banger-build|mmdebstrap)/.test(name))
        .map((name) => `directory ${directory}/${name}`),
    ),
    ...tree(join(home, "state/vms")).map((path) => `VM directory ${path}`),
    ...tree(join(home, "run/vms")).map((path) => `run directory ${path}`),
    ...names(join(home, "state/images"))
      .filter((name) => name.startsWith("."))
      .map((name) => `image staging ${name}`),
    ...unexpected(join(home, "state"), expectedState),
    ...unexpected(join(home, "run"), /^(bangerd\.sock|vms)$/),
    ...rows(join(home, "state/state.db")),
  ].sort();
}

/** What is there now and was not before; of an entry that is there several times, those that are more. */
export function leaks(
  before: HostInventory,
  after: HostInventory,
): HostInventory {
  const known = new Map<string, number>();
  for (const entry of before) known.set(entry, (known.get(entry) ?? 0) + 1);
  return after.filter((entry) => {
    const count = known.get(entry) ?? 0;
    known.set(entry, count - 1);
    return count <= 0;
  });
}

/** What an install makes once and keeps. */
const expectedState =
  /^(vms|images|kernels|logs|ssh|kvm-verdict\.json|daemon\.lock(-journal)?|state\.db(-wal|-shm)?)$/;

interface OwnProcess {
  readonly pid: string;
  /** absent for the daemon, which is expected */
  readonly line?: string;
}

/** The daemon of one home, and the programs that work for it: its VMMs, builds and tools. */
function ownProcesses(home: string): readonly OwnProcess[] {
  return names("/proc").flatMap((pid): readonly OwnProcess[] => {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return [];
    const [program = "", ...args] = (read(`/proc/${pid}/cmdline`) ?? "").split(
      "\0",
    );
    if (isDaemon(pid, args, home)) return [{ pid }];
    const isOurs = args.some(
      (arg) => arg.includes(home) || arg.includes("/banger-build-"),
    );
    const isTool =
      /qemu|mmdebstrap|mke2fs|tar$|unshare|resize2fs|e2fsck|setpriv|debugfs|cp$|mv$|rm$/.test(
        program,
      );
    const line = `process ${pid} ${program} ${args.slice(0, 3).join(" ")}`;
    return isOurs && isTool ? [{ pid, line }] : [];
  });
}

function isDaemon(pid: string, args: readonly string[], home: string): boolean {
  return (
    args.some((arg) => /(bangerd|crashing-daemon)\.m?js$/.test(arg)) &&
    (read(`/proc/${pid}/environ`) ?? "")
      .split("\0")
      .includes(`BANGER_HOME=${home}`)
  );
}

/** Sockets of the file system below the home; a bound one is there although its file is gone. */
function unixSockets(home: string): string[] {
  return (read("/proc/net/unix") ?? "")
    .split("\n")
    .flatMap((line) => /(\/\S+)$/.exec(line)?.[1] ?? [])
    .filter((path) => path.startsWith(`${home}/`))
    .filter((path) => !path.endsWith("/bangerd.sock"))
    .filter((path, index, all) => all.indexOf(path) === index)
    .map((path) => `unix socket ${path.slice(home.length + 1)}`);
}

/** TCP addresses of guests on which a process listens: its own VM's ports, or ports that the daemon publishes. */
function listeningSockets(pid: string): string[] {
  const inodes = new Set(
    names(`/proc/${pid}/fd`).flatMap((fd) => {
      const target = link(`/proc/${pid}/fd/${fd}`) ?? "";
      return /^socket:\[(\d+)\]$/.exec(target)?.[1] ?? [];
    }),
  );
  return (read(`/proc/${pid}/net/tcp`) ?? "").split("\n").flatMap((line) => {
    // proc_net_tcp(5): number, local address, remote address, state, …, inode; 0A is LISTEN.
    const fields = line.trim().split(/\s+/);
    if (fields[3] !== "0A" || !inodes.has(fields[9] ?? "")) return [];
    const [address = "", port = ""] = (fields[1] ?? "").split(":");
    const bytes = [...Buffer.from(address, "hex")].reverse();
    return bytes[0] === 127 && bytes[1] === 77
      ? [`TCP socket ${bytes.join(".")}:${Number(`0x${port}`)}`]
      : [];
  });
}

function addresses(): string[] {
  return Object.entries(networkInterfaces()).flatMap(([name, list = []]) =>
    list.map(({ cidr, address }) => `address ${name} ${cidr ?? address}`),
  );
}

function mounts(): string[] {
  return (read("/proc/self/mountinfo") ?? "")
    .split("\n")
    .flatMap((line) => line.split(" ")[4] ?? [])
    .map((point) => `mount ${point}`);
}

function isBackedLoop(name: string): boolean {
  return (
    name.startsWith("loop") &&
    read(`/sys/block/${name}/loop/backing_file`) !== undefined
  );
}

function firewall(): string[] {
  if (process.getuid?.() !== 0) return [];
  for (const program of ["/usr/sbin/iptables-save", "/usr/sbin/nft"]) {
    try {
      const args = program.endsWith("nft") ? ["list", "ruleset"] : [];
      const text = execFileSync(program, args, {
        encoding: "utf8",
        stdio: "pipe",
      });
      return (
        text
          .split("\n")
          .filter((line) => line !== "" && !line.startsWith("#"))
          // Counters of packets and bytes change by themselves.
          .map((line) => `rule ${line.replace(/\[\d+:\d+\]/, "")}`)
      );
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
  }
  return [];
}

/** The VMs that the store knows; read beside a daemon that may be writing. */
function rows(file: string): string[] {
  let database;
  try {
    database = new Database(file, { readonly: true, fileMustExist: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "SQLITE_CANTOPEN") return [];
    throw error;
  }
  try {
    const list = database
      .prepare<[], { id: string; name: string }>("SELECT id, name FROM vms")
      .all();
    return list.map(({ id, name }) => `row ${id} ${name}`);
  } catch (error) {
    // A daemon that died while it made the file.
    if (/no such table/.test((error as Error).message)) return [];
    throw error;
  } finally {
    database.close();
  }
}

/** Every path below a directory, itself left out. */
function tree(directory: string, prefix = ""): string[] {
  return names(directory).flatMap((name) => [
    `${prefix}${name}`,
    ...tree(join(directory, name), `${prefix}${name}/`),
  ]);
}

function unexpected(directory: string, expected: RegExp): string[] {
  return names(directory)
    .filter((name) => !expected.test(name))
    .map((name) => `file ${join(directory, name)}`);
}

/** Entries of a directory; none when it is none, or has just gone. */
function names(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    if (["ENOENT", "ENOTDIR", "ESRCH", "EACCES"].includes(code)) return [];
    throw error;
  }
}

function link(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    if (["ENOENT", "ESRCH", "EACCES"].includes(code)) return undefined;
    throw error;
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    if (["ENOENT", "ESRCH", "EACCES", "ENXIO"].includes(code)) return undefined;
    throw error;
  }
}
