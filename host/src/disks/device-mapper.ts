import { setTimeout as sleep } from "node:timers/promises";
import { CommandFailedError, type CommandRunner } from "@banger/core";
import { hasFile } from "./root-disk-files.js";
import { hostDevices, saysBusy, type DeviceTree } from "./loop-devices.js";
import { RootDiskBusyError } from "./root-disk-errors.js";

const limitMs = 20_000;
/** `dmsetup remove --retry` tries for 5 s by itself; a VMM that was killed a moment ago may write longer. */
const removeAttempts = 3;

/** Why the kernel or the host's programs give no such devices, and one step that helps. */
export interface MissingTarget {
  readonly reason: string;
  readonly fix: string;
}

/**
 * Whose a device-mapper device is, which the kernel keeps from the first moment of the device on: a name may be somebody else's, and a
 * device that a killed `dmsetup create` leaves has no table that would tell.
 */
export interface MappedDevice {
  /** such as `fc-rootfs-00123456` */
  readonly name: string;
  /** given at the device's making, such as `banger-00123456789a` */
  readonly uuid: string;
}

/** Device-mapper devices of the host. They belong to everybody: one is removed only when its UUID is the expected one. */
export class DeviceMapper {
  readonly #commands: CommandRunner;
  readonly #tree: DeviceTree;
  readonly #pauseMs: number;

  /** @param pauseMs between attempts to remove a device that is in use */
  constructor(
    commands: CommandRunner,
    tree: DeviceTree = hostDevices,
    pauseMs = 500,
  ) {
    this.#commands = commands;
    this.#tree = tree;
    this.#pauseMs = pauseMs;
  }

  /** What speaks against devices of a target, such as `snapshot`; `undefined` when there are some to be had. */
  async missingTarget(target: string): Promise<MissingTarget | undefined> {
    if ((await this.#commands.find("dmsetup")) === undefined) {
      const fix = "Install it: apt-get install dmsetup";
      return { reason: "the program dmsetup is not installed", fix };
    }
    if (await this.#isLoaded()) {
      const { stdout } = await this.#dmsetup(["targets"]);
      const names = stdout.split("\n").map((line) => line.split(/\s/)[0]);
      if (names.includes(target)) return undefined;
    }
    return {
      reason: `the kernel offers no device-mapper target ${target}`,
      fix: `Load its module, where the kernel has one: modprobe dm-${target}`,
    };
  }

  /**
   * The UUID of the device of that name, also of one that has no table; empty when it has none. `undefined` without a device.
   * Asks for one device: a list of all fails when any of them goes meanwhile.
   */
  async findUuid(name: string): Promise<string | undefined> {
    if (!(await this.#isLoaded())) return undefined;
    const columns = ["-c", "--noheadings", "-o", "uuid"];
    try {
      const { stdout } = await this.#dmsetup(["info", ...columns, name]);
      return stdout.trim();
    } catch (error) {
      if (saysAbsent(error)) return undefined;
      throw error;
    }
  }

  /** The active table, a line for each target; empty when it has none. */
  async table(name: string, signal: AbortSignal): Promise<string> {
    return (await this.#dmsetup(["table", name], signal)).stdout.trim();
  }

  async create(
    { name, uuid }: MappedDevice,
    table: string,
    signal: AbortSignal,
  ): Promise<void> {
    const args = ["create", name, "--uuid", uuid, "--table", table];
    await this.#dmsetup(args, signal);
  }

  /**
   * Removes a device; does nothing to one of the same name with another UUID. Idempotent.
   * @throws RootDiskBusyError when somebody keeps it open
   */
  async remove({ name, uuid }: MappedDevice): Promise<void> {
    const isThere = async (): Promise<boolean> =>
      (await this.findUuid(name)) === uuid;
    for (let attempt = 1; await isThere(); attempt++) {
      try {
        await this.#dmsetup(["remove", "--retry", name]);
        return;
      } catch (error) {
        // Somebody else may have removed it meanwhile, or our own attempt before it was ended.
        if (!(await isThere())) return;
        if (!saysBusy(error)) throw error;
        if (attempt === removeAttempts) {
          const device = `/dev/mapper/${name}`;
          throw new RootDiskBusyError(device, "is still in use", error);
        }
        await sleep(this.#pauseMs);
      }
    }
  }

  #isLoaded(): Promise<boolean> {
    return hasFile(`${this.#tree.sys}/class/misc/device-mapper`);
  }

  #dmsetup(
    args: readonly string[],
    signal?: AbortSignal,
  ): Promise<{ readonly stdout: string }> {
    const abort = signal === undefined ? {} : { signal };
    return this.#commands.run({
      file: "dmsetup",
      args,
      timeoutMs: limitMs,
      ...abort,
    });
  }
}

/** Do a program's last words say that there is no such device? @see dmsetup.c: `_display_info` */
function saysAbsent(error: unknown): boolean {
  return (
    error instanceof CommandFailedError &&
    /Device does not exist/.test(error.stderrTail)
  );
}
