import type { BigIntStats } from "node:fs";
import { open, readdir, readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { CommandFailedError, type CommandRunner } from "@banger/core";
import { deviceNumbers } from "../files/device-numbers.js";
import { hasErrorCode } from "../files/error-code.js";
import { ForeignFileError } from "../files/owned-file.js";
import { RootDiskBusyError } from "./root-disk-errors.js";
import { hasFile } from "./root-disk-files.js";

/** A loop device that has a file, as sysfs shows it. */
export interface LoopDevice {
  /** such as `/dev/loop3` */
  readonly device: string;
  /** major and minor number, such as `7:3` */
  readonly number: string;
  /** as the kernel names it, which {@link isOnFile} understands; of a file that was removed, the path that it had */
  readonly backingFile: string;
  readonly readOnly: boolean;
  /** kernel names of the block devices on top of it, such as `dm-0` */
  readonly holders: readonly string[];
}

/** What a file is known by; bigints, as inode numbers of some file systems need all 64 bits. */
export type FileKey = Pick<BigIntStats, "dev" | "ino">;

/** Where a kernel shows its block devices; another place in tests. */
export interface DeviceTree {
  readonly sys: string;
  readonly dev: string;
}

export const hostDevices: DeviceTree = { sys: "/sys", dev: "/dev" };

const limitMs = 15_000;
/** How long a device may take to go after its detach, ms: udev looks at every one. */
const goneLimitMs = 5_000;

/** Loop devices of the host. They belong to everybody: one is touched only after a look at its backing file. */
export class LoopDevices {
  readonly #commands: CommandRunner;
  readonly #tree: DeviceTree;

  constructor(commands: CommandRunner, tree: DeviceTree = hostDevices) {
    this.#commands = commands;
    this.#tree = tree;
  }

  /** One that has a file; `undefined` for others. */
  find(device: string): Promise<LoopDevice | undefined> {
    return readLoop(this.#tree, nameOf(device));
  }

  /**
   * Puts a file on a loop device that has none. The path may lead elsewhere at any moment: what is on the device afterwards counts.
   * @param meant the file, as it was looked at
   * @returns false when somebody else has taken the device, or there is none of this name
   * @throws {@link ForeignFileError} when it was another file, which is off the device again
   */
  async attach(
    device: string,
    file: string,
    readOnly: boolean,
    meant: FileKey,
    signal: AbortSignal,
  ): Promise<boolean> {
    if (!(await hasFile(`${this.#tree.sys}/block/${nameOf(device)}`)))
      return false;
    const mode = readOnly ? ["--read-only"] : [];
    try {
      await this.#losetup([...mode, device, file], signal);
    } catch (error) {
      if (saysBusy(error)) return false;
      throw error;
    }
    try {
      if (await this.holds(device, meant, signal)) return true;
      throw new ForeignFileError(file, "was another file a moment ago");
    } catch (error) {
      // Not with the signal: it may be what has ended the look.
      await this.#losetup(["--detach", device]);
      throw error;
    }
  }

  /** Is this very file, whatever its name is by now, on a loop device? */
  async holds(
    device: string,
    { dev, ino }: FileKey,
    signal: AbortSignal,
  ): Promise<boolean> {
    const columns = ["--noheadings", "--output", "BACK-INO,BACK-MAJ:MIN"];
    const { stdout } = await this.#losetup(
      ["--list", ...columns, device],
      signal,
    );
    const { major, minor } = deviceNumbers(dev);
    const wanted = `${String(ino)} ${String(major)}:${String(minor)}`;
    return stdout.trim().replaceAll(/\s+/g, " ") === wanted;
  }

  /**
   * Takes the file off a loop device when it is one of ours; does nothing otherwise. Idempotent.
   * @throws RootDiskBusyError when somebody keeps it
   */
  async detach(
    device: string,
    isOurs: (loop: LoopDevice) => boolean,
  ): Promise<void> {
    const name = nameOf(device);
    const ours = async (): Promise<boolean> => {
      const loop = await readLoop(this.#tree, name);
      return loop !== undefined && isOurs(loop);
    };
    if (!/^loop\d+$/.test(name) || !(await ours())) return;
    // While it is open nobody can take its file off and put on another between the look and the detach: loop(4), LO_FLAGS_AUTOCLEAR.
    const held = await open(`${this.#tree.dev}/${name}`, "r");
    try {
      if (!(await ours())) return;
      await this.#losetup(["--detach", `${this.#tree.dev}/${name}`]);
    } finally {
      await held.close();
    }
    for (const until = performance.now() + goneLimitMs; await ours();) {
      if (performance.now() > until)
        throw new RootDiskBusyError(device, "is still in use");
      await sleep(20);
    }
  }

  /** Name of one that had no file a moment ago. */
  async free(signal: AbortSignal): Promise<string> {
    const { stdout } = await this.#losetup(["--find"], signal);
    const device = stdout.trim();
    if (!/^\/dev\/loop\d+$/.test(device))
      throw new Error(`losetup names ${JSON.stringify(device)} as free`);
    return device;
  }

  #losetup(
    args: readonly string[],
    signal?: AbortSignal,
  ): Promise<{ readonly stdout: string }> {
    const abort = signal === undefined ? {} : { signal };
    return this.#commands.run({
      file: "losetup",
      args,
      timeoutMs: limitMs,
      ...abort,
    });
  }
}

/** All loop devices that have a file. Needs no root. */
export async function listLoopDevices(
  tree: DeviceTree,
): Promise<readonly LoopDevice[]> {
  const names = await readdir(`${tree.sys}/block`).catch(emptyIfAbsent);
  const found = await Promise.all(
    names
      .filter((name) => /^loop\d+$/.test(name))
      .map((name) => readLoop(tree, name)),
  );
  return found.filter((loop) => loop !== undefined);
}

/** Without a file on it, the directory `loop` is not there; it may go while it is read. */
async function readLoop(
  tree: DeviceTree,
  name: string,
): Promise<LoopDevice | undefined> {
  const base = `${tree.sys}/block/${name}`;
  try {
    const [file, number, readOnly, holders] = await Promise.all([
      readFile(`${base}/loop/backing_file`, "utf8"),
      readFile(`${base}/dev`, "utf8"),
      readFile(`${base}/ro`, "utf8"),
      readdir(`${base}/holders`),
    ]);
    return {
      device: `/dev/${name}`,
      number: number.trim(),
      backingFile: file.replace(/\n$/, "").replace(/ \(deleted\)$/, ""),
      readOnly: readOnly.trim() === "1",
      holders,
    };
  } catch (error) {
    if (hasErrorCode(error, "ENOENT", "ENODEV", "ENXIO")) return undefined;
    throw error;
  }
}

/**
 * Is it this file that a loop device is on? The kernel names a file from the root of the mount that it was opened on. The mounts of a root
 * helper that has ended are nowhere any more, and of `/var/lib/banger/state/vms/<id>/root.cow` only `/state/vms/<id>/root.cow` is left: the
 * end of the path, of which a whole directory and a name have to be there. Pure.
 * @param path without symbolic links
 * @see Linux, fs/d_path.c: prepend_path
 */
export function isOnFile(
  { backingFile }: Pick<LoopDevice, "backingFile">,
  path: string,
): boolean {
  const isTail =
    /^\/[^/]+\/[^/]/.test(backingFile) && path.endsWith(backingFile);
  return backingFile === path || isTail;
}

/** Such as `loop3`. */
function nameOf(device: string): string {
  return device.slice(device.lastIndexOf("/") + 1);
}

/** Do a program's last words say that somebody else has the device? */
export function saysBusy(error: unknown): boolean {
  return (
    error instanceof CommandFailedError &&
    /Device or resource busy/.test(error.stderrTail)
  );
}

function emptyIfAbsent(error: unknown): readonly string[] {
  if (hasErrorCode(error, "ENOENT")) return [];
  throw error;
}
