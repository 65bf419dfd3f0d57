import { readdir, readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { type CommandRunner } from "@banger/core";
import { hasErrorCode } from "../files/error-code.js";
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

/** Device-mapper devices, by name. */
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

  /** Also one that has no table yet, as a killed `dmsetup create` leaves it; sysfs does not show those. */
  async exists(name: string): Promise<boolean> {
    if (!(await this.#isLoaded())) return false;
    const columns = ["-c", "--noheadings", "-o", "name"];
    const { stdout } = await this.#dmsetup(["info", ...columns]);
    return stdout.split("\n").some((line) => line.trim() === name);
  }

  /** Kernel name of the device, such as `dm-0`; `undefined` before it has a table. */
  async kernelName(name: string): Promise<string | undefined> {
    const { sys } = this.#tree;
    const nodes = (await readdir(`${sys}/block`)).filter((node) =>
      /^dm-\d+$/.test(node),
    );
    for (const node of nodes) {
      const found = await readFile(
        `${sys}/block/${node}/dm/name`,
        "utf8",
      ).catch((error: unknown) => {
        if (hasErrorCode(error, "ENOENT", "ENODEV")) return "";
        throw error;
      });
      if (found.trim() === name) return node;
    }
    return undefined;
  }

  /** The active table, a line for each target; empty when it has none. */
  async table(name: string, signal: AbortSignal): Promise<string> {
    return (await this.#dmsetup(["table", name], signal)).stdout.trim();
  }

  async create(
    name: string,
    table: string,
    signal: AbortSignal,
  ): Promise<void> {
    await this.#dmsetup(["create", name, "--table", table], signal);
  }

  /**
   * Removes a device. Idempotent.
   * @throws RootDiskBusyError when somebody keeps it open
   */
  async remove(name: string): Promise<void> {
    for (let attempt = 1; await this.exists(name); attempt++) {
      try {
        await this.#dmsetup(["remove", "--retry", name]);
        return;
      } catch (error) {
        // Somebody else may have removed it meanwhile, or our own attempt before it was ended.
        if (!(await this.exists(name))) return;
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
