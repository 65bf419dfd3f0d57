import { accessSync, constants, existsSync } from "node:fs";
import { delimiter, join } from "node:path";

/** Programs of the host that the runs on Firecracker's API need, beside what `banger setup` installs. */
const programs = ["ip", "iptables", "nft", "setpriv", "sysctl"];

/** What keeps guests on a bridge, in network namespaces of a run's own, from being possible here; `undefined` when they are. */
export function unmetNeed(): string | undefined {
  if (process.getuid?.() !== 0)
    return "it needs root, for network namespaces, bridges and TAP devices";
  const missing = programs.filter((name) => findProgram(name) === undefined);
  if (missing.length > 0)
    return `missing programs: ${missing.join(", ")} (Debian: apt-get install -y iproute2 iptables nftables procps util-linux)`;
  if (!existsSync("/dev/net/tun"))
    return "there is no /dev/net/tun, so no TAP devices";
  return undefined;
}

/** Absolute path of an executable of the PATH, or of where root's programs are. */
export function findProgram(name: string): string | undefined {
  return [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/sbin"]
    .filter((directory) => directory !== "")
    .map((directory) => join(directory, name))
    .find(isExecutable);
}

export function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    if (["ENOENT", "EACCES", "ENOTDIR"].includes(code)) return false;
    throw error;
  }
}
