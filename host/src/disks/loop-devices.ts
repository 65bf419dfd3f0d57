import { open, readdir, readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { CommandFailedError, type CommandRunner } from "@banger/core";
import { hasErrorCode } from "../files/error-code.js";
import { RootDiskBusyError } from "./root-disk-errors.js";

/** A loop device that has a file, as sysfs shows it. */
export interface LoopDevice {
  /** such as `/dev/loop3` */
  readonly device: string;
  /** major and minor number, such as `7:3` */
  readonly number: string;
  /** as the kernel names it; of a file that was removed, the path that it had */
  readonly backingFile: string;
  readonly readOnly: boolean;
  /** kernel names of the block devices on top of it, such as `dm-0` */
  readonly holders: readonly string[];
}

/** Where a kernel shows its block devices; another place in tests. */
export interface DeviceTree {
  readonly sys: string;
  readonly dev: string;
}

export const hostDevices: DeviceTree = { sys: "/sys", dev: "/dev" };

const limitMs = 15_000;
/** Another program may take the number that was free a moment ago; this often in a row it never does. */
const attachAttempts = 8;
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

  /** All that have a file. */
  async list(): Promise<readonly LoopDevice[]> {
    const names = await readdir(`${this.#tree.sys}/block`).catch(emptyIfAbsent);
    const found = await Promise.all(
      names
        .filter((name) => /^loop\d+$/.test(name))
        .map((name) => this.#read(name)),
    );
    return found.filter((loop) => loop !== undefined);
  }

  /**
   * Puts a file on a free loop device.
   * @param claim awaited before a device is made, with its name; called again with another name when somebody else took that one
   */
  async attach(
    file: string,
    readOnly: boolean,
    claim: (device: string) => Promise<void>,
    signal: AbortSignal,
  ): Promise<string> {
    const mode = readOnly ? ["--read-only"] : [];
    for (let attempt = 1; ; attempt++) {
      const device = await this.#free(signal);
      await claim(device);
      try {
        await this.#losetup([...mode, device, file], signal);
        return device;
      } catch (error) {
        if (attempt === attachAttempts || !saysBusy(error)) throw error;
      }
    }
  }

  /**
   * Takes the file off a loop device when it is one of ours; does nothing otherwise. Idempotent.
   * @throws RootDiskBusyError when somebody keeps it
   */
  async detach(
    device: string,
    isOurs: (loop: LoopDevice) => boolean,
  ): Promise<void> {
    const name = device.slice(device.lastIndexOf("/") + 1);
    const ours = async (): Promise<boolean> => {
      const loop = await this.#read(name);
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

  async #free(signal: AbortSignal): Promise<string> {
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

  /** Without a file on it, the directory `loop` is not there; it may go while it is read. */
  async #read(name: string): Promise<LoopDevice | undefined> {
    const base = `${this.#tree.sys}/block/${name}`;
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
