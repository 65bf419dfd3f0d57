import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Everything on the host that banger could have left, a line each. */
export type HostInventory = readonly string[];

/**
 * Looks at the host: processes that name the home, TAP devices and bridges, loop and device-mapper devices, mounts, firewall rules,
 * build directories, and every file below the home that belongs to a VM or a socket.
 */
export function takeInventory(home: string): HostInventory {
  return [
    ...processes(home),
    ...names("/sys/class/net").map((name) => `network device ${name}`),
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
    ...names(join(home, "state/vms")).map((name) => `VM directory ${name}`),
    ...names(join(home, "run/vms")).map((name) => `run directory ${name}`),
    ...names(join(home, "state/images"))
      .filter((name) => name.startsWith("."))
      .map((name) => `image staging ${name}`),
  ].sort();
}

/** What is there now and was not before. */
export function leaks(
  before: HostInventory,
  after: HostInventory,
): HostInventory {
  const known = new Set(before);
  return after.filter((entry) => !known.has(entry));
}

/** Programs that work for one home: its VMMs, builds and tools; the daemon itself is expected to run. */
function processes(home: string): string[] {
  return names("/proc").flatMap((pid) => {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return [];
    const [program = "", ...args] = (read(`/proc/${pid}/cmdline`) ?? "").split(
      "\0",
    );
    const isOurs = args.some((arg) => arg.includes(home));
    const isTool = /qemu|mmdebstrap|mke2fs|tar$|unshare|resize2fs|e2fsck/.test(
      program,
    );
    return isOurs && isTool
      ? [`process ${pid} ${program} ${args.slice(0, 3).join(" ")}`]
      : [];
  });
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

function names(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
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
