import { accessSync, closeSync, constants, openSync, readSync } from "node:fs";
import { existsSync, readFileSync } from "node:fs";
import { osError } from "./api-fault.js";

/** Why a file cannot be opened so; `undefined` when it can. */
export function openProblem(
  path: string,
  access: "read" | "read-write",
): string | undefined {
  try {
    closeSync(openSync(path, access === "read" ? "r" : "r+"));
    accessSync(path, constants.R_OK);
    return undefined;
  } catch (error) {
    return osError(error);
  }
}

/** Is it an uncompressed kernel? A bzImage is a boot sector with the kernel behind it. */
export function isElf(path: string): boolean {
  const magic = Buffer.alloc(4);
  const file = openSync(path, "r");
  try {
    readSync(file, magic, 0, 4, 0);
  } finally {
    closeSync(file);
  }
  return magic.equals(Buffer.from("\x7fELF", "latin1"));
}

/** Is there a TAP of this name in this network namespace? Without sysfs, as in a jail, any interface is taken for one. */
export function isTap(name: string): boolean {
  if (!networkDevices().has(name)) return false;
  const sysfs = `/sys/class/net/${name}`;
  return !existsSync(sysfs) || existsSync(`${sysfs}/tun_flags`);
}

/** Bytes and packets of an interface as the host counts them: what it sends, the guest receives. */
export interface DeviceTraffic {
  readonly receivedBytes: number;
  readonly receivedPackets: number;
  readonly sentBytes: number;
  readonly sentPackets: number;
}

/** @see proc(5), net/dev */
export function networkDevices(): ReadonlyMap<string, DeviceTraffic> {
  const devices = new Map<string, DeviceTraffic>();
  for (const line of readFileSync("/proc/self/net/dev", "utf8").split("\n")) {
    const [, name, counts] = /^\s*([^:]+):(.*)$/.exec(line) ?? [];
    if (name === undefined || counts === undefined) continue;
    const fields = counts.trim().split(/\s+/).map(Number);
    devices.set(name, {
      receivedBytes: fields[0] ?? 0,
      receivedPackets: fields[1] ?? 0,
      sentBytes: fields[8] ?? 0,
      sentPackets: fields[9] ?? 0,
    });
  }
  return devices;
}
