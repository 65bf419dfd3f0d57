import { join } from "node:path";
import Database from "better-sqlite3";
import { homePlace, type InstallPlace } from "./install-place.js";
import { names, read } from "./inventory-files.js";
import { takeNetworkInventory } from "./network-inventory.js";
import { listeningSockets, ownProcesses } from "./own-processes.js";

/** Everything on the host that banger could have left, a line each. */
export type HostInventory = readonly string[];

/** Of an install that is wholly below its home: {@link takeInventoryOf}. */
export function takeInventory(home: string): HostInventory {
  return takeInventoryOf(homePlace(home));
}

/**
 * Looks at the host: processes that name the install or are in a jail, sockets below it and of its processes, network devices, addresses,
 * bridges that are forwarded from, loop and device-mapper devices, mounts, firewall rules, build directories, rows, jails, and every file
 * of the install that belongs to a VM, to an unfinished image or to nobody. The daemon itself, its socket, its logs, the bridge and what
 * else an install makes once are expected.
 */
export function takeInventoryOf(place: InstallPlace): HostInventory {
  const own = ownProcesses(place);
  const { stateDirectory: state, runDirectory: run } = place;
  return [
    ...own.flatMap(({ line }) => line ?? []),
    ...unixSockets(place),
    ...own.flatMap(({ pid }) => listeningSockets(pid)),
    ...takeNetworkInventory(),
    ...blockDevices(),
    ...mounts(),
    ...["/tmp", "/var/tmp"].flatMap((directory) =>
      names(directory)
        .filter((name) => /^(banger-build|mmdebstrap)/.test(name))
        .map((name) => `directory ${directory}/${name}`),
    ),
    ...tree(join(state, "vms")).map((path) => `VM directory ${path}`),
    ...tree(join(run, "vms")).map((path) => `run directory ${path}`),
    ...jails(join(state, "jail")),
    ...names(join(state, "images"))
      .filter((name) => name.startsWith("."))
      .map((name) => `image staging ${name}`),
    ...unexpected(state, expectedState),
    ...unexpected(run, /^(bangerd\.sock|vms)$/),
    ...rows(join(state, "state.db")),
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
  /^(vms|images|jail|kernels|logs|ssh|kvm-verdict[a-z-]*\.json|daemon\.lock(-journal)?|state\.db(-wal|-shm)?)$/;

/** Sockets of the file system of the install; a bound one is there although its file is gone. */
function unixSockets({ roots }: InstallPlace): string[] {
  return (read("/proc/net/unix") ?? "")
    .split("\n")
    .flatMap((line) => /(\/\S+)$/.exec(line)?.[1] ?? [])
    .flatMap((path) => {
      const root = roots.find((one) => path.startsWith(`${one}/`));
      return root === undefined ? [] : [{ root, path }];
    })
    .filter(({ path }) => !path.endsWith("/bangerd.sock"))
    .map(({ root, path }) => `unix socket ${path.slice(root.length + 1)}`)
    .filter((entry, index, all) => all.indexOf(entry) === index);
}

/** Loop devices with their files, and device-mapper devices with their names. */
function blockDevices(): string[] {
  return names("/sys/block").flatMap((name) => {
    const file = /^loop/.test(name) ? "loop/backing_file" : "dm/name";
    const of = read(`/sys/block/${name}/${file}`);
    return of === undefined ? [] : [`block device ${name} ${of.trim()}`];
  });
}

/** What is below `<base>/<name of the program>`, a directory for each VM. */
function jails(base: string): string[] {
  return names(base).flatMap((program) =>
    tree(join(base, program)).map((path) => `jail ${program}/${path}`),
  );
}

/** Without those that name network namespaces, which come and go with other runs. */
function mounts(): string[] {
  return (read("/proc/self/mountinfo") ?? "")
    .split("\n")
    .flatMap((line) => line.split(" ")[4] ?? [])
    .filter((point) => !point.startsWith("/run/netns"))
    .map((point) => `mount ${point}`);
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
