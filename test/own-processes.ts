import { homePlace, type InstallPlace } from "./install-place.js";
import { link, names, read } from "./inventory-files.js";

/** Programs that work for an install: VMMs, builds and tools. A script's name is its interpreter's first argument. */
const vmmPrograms = /(^|\/)(qemu-system-[a-z0-9_]+|[^/]*firecracker[^/]*)$/;
const tools =
  /qemu|jailer|mmdebstrap|mke2fs|tar$|unshare|resize2fs|e2fsck|setpriv|debugfs|cp$|mv$|rm$|losetup|dmsetup/;

/** The API socket of a process in a jail, which knows no path of the host. */
const jailedSocket = /^\/run\/[0-9a-f]{12}\.api$/;

export interface OwnProcess {
  readonly pid: string;
  readonly isVmm: boolean;
  /** absent for the daemon, which is expected */
  readonly line?: string;
}

/** The daemon of one install, and the programs that work for it: its VMMs, builds and tools. */
export function ownProcesses(place: InstallPlace): readonly OwnProcess[] {
  return names("/proc").flatMap((pid): readonly OwnProcess[] => {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return [];
    const argv = (read(`/proc/${pid}/cmdline`) ?? "").split("\0");
    const args = argv.slice(1);
    if (isDaemon(pid, args, place)) return [{ pid, isVmm: false }];
    const isOurs = args.some((arg) =>
      place.roots.some((root) => arg.includes(root)),
    );
    const maybeOurs = args.some(
      (arg) => arg.includes("/banger-build-") || jailedSocket.test(arg),
    );
    // Builds and jails of other network namespaces are other runs'.
    if (!isOurs && !(maybeOurs && isNeighbour(pid))) return [];
    const programs = argv.slice(0, 2);
    const isVmm = programs.some((program) => vmmPrograms.test(program));
    if (!isVmm && !programs.some((program) => tools.test(program))) return [];
    const line = `process ${pid} ${argv.slice(0, 4).join(" ")}`;
    return [{ pid, isVmm, line }];
  });
}

function isNeighbour(pid: string): boolean {
  const namespace = link(`/proc/${pid}/ns/net`);
  return namespace !== undefined && namespace === link("/proc/self/ns/net");
}

function parentOf(pid: string): string | undefined {
  return /^PPid:\s+(\d+)$/m.exec(read(`/proc/${pid}/status`) ?? "")?.[1];
}

function isDaemon(
  pid: string,
  args: readonly string[],
  place: InstallPlace,
): boolean {
  return (
    args.some((arg) => /(bangerd|crashing-daemon)\.m?js$/.test(arg)) &&
    place.isDaemon(args, () => (read(`/proc/${pid}/environ`) ?? "").split("\0"))
  );
}

/** Of an install that is wholly below its home: {@link vmmPidsOf}. */
export function vmmPids(home: string): readonly number[] {
  return vmmPidsOf(homePlace(home));
}

/**
 * Process ids of the VMMs of one install, whichever they are: without those that one of them has started. Nothing else may be running for
 * them to be told by.
 */
export function vmmPidsOf(place: InstallPlace): readonly number[] {
  const vmms = ownProcesses(place).filter(({ isVmm }) => isVmm);
  return vmms
    .filter(({ pid }) => !vmms.some((other) => other.pid === parentOf(pid)))
    .map(({ pid }) => Number(pid));
}

/** TCP addresses of guests on which a process listens: its own VM's ports, or ports that the daemon publishes. */
export function listeningSockets(pid: string): string[] {
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
    return bytes[0] === 127 && (bytes[1] === 77 || bytes[1] === 78)
      ? [`TCP socket ${bytes.join(".")}:${Number(`0x${port}`)}`]
      : [];
  });
}
