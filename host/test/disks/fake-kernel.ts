import {
  mkdir,
  readdir,
  readFile,
  rm,
  stat,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import type { Command } from "@banger/core";
import { FakeCommandRunner, type ScriptedResult } from "@banger/core/testing";
import { deviceNumbers } from "../../src/files/device-numbers.js";
import type { DeviceTree } from "../../src/disks/loop-devices.js";

const busy: ScriptedResult = {
  exitCode: 1,
  stderr: "losetup: /dev/loop0: failed to set up: Device or resource busy",
};

/**
 * Loop and device-mapper devices as files of a directory, with the programs that make and remove them. Keeps what losetup(8) and dmsetup(8)
 * promise: a number is given out once, a device that is in use goes with its last user, and a removed file keeps its name.
 */
export class FakeKernel {
  readonly tree: DeviceTree;
  readonly #root: string;
  /** by name; an empty table is none */
  readonly #mapped = new Map<
    string,
    { node: string; uuid: string; table: string }
  >();
  readonly #autoclear = new Set<string>();
  /** one before 5.15: sysfs shows a device that has no table */
  isOld = false;
  /** called before `losetup` puts a file on a device, such as to be quicker than it */
  beforeAttach: ((device: string) => Promise<void>) | undefined;
  /** called before `dmsetup` makes a device */
  beforeCreate: (() => Promise<void>) | undefined;
  /** names of devices that somebody has open, with how many attempts more it lasts */
  readonly opened = new Map<string, number>();

  private constructor(root: string) {
    this.#root = root;
    this.tree = { sys: join(root, "sys"), dev: join(root, "dev") };
  }

  static async in(root: string): Promise<FakeKernel> {
    const kernel = new FakeKernel(root);
    await mkdir(join(root, "sys/class/misc/device-mapper"), {
      recursive: true,
    });
    await mkdir(join(root, "dev"));
    for (const number of ["0", "1", "2", "3"]) {
      const block = kernel.#block(`loop${number}`);
      await mkdir(join(block, "holders"), { recursive: true });
      await writeFile(join(block, "dev"), `7:${number}\n`);
      await writeFile(join(block, "ro"), "0\n");
      await writeFile(join(root, "dev", `loop${number}`), "");
    }
    return kernel;
  }

  /** The programs of a new process on this kernel. */
  commands(): FakeCommandRunner {
    return new FakeCommandRunner()
      .install("losetup", (command) => this.#losetup(command))
      .install("dmsetup", (command) => this.#dmsetup(command));
  }

  /** Everything that there is, a line each. */
  async devices(): Promise<readonly string[]> {
    const loops = await this.#loops();
    const mapped = [...this.#mapped].map(([name, { table }]) =>
      `${name} ${table}`.trim(),
    );
    return [...loops.map(({ name, file }) => `${name} ${file}`), ...mapped];
  }

  /** What another program does, or a run that was killed. */
  async attach(name: string, file: string, readOnly = false): Promise<void> {
    const block = this.#block(name);
    await mkdir(join(block, "loop"));
    await writeFile(join(block, "loop/backing_file"), `${file}\n`);
    await writeFile(join(block, "ro"), readOnly ? "1\n" : "0\n");
  }

  /** @param table empty for a device as a killed `dmsetup create` leaves it */
  async map(name: string, table: string, uuid = ""): Promise<void> {
    const node = `dm-${String(this.#mapped.size)}`;
    this.#mapped.set(name, { node, uuid, table });
    if (table === "" && !this.isOld) return;
    await mkdir(join(this.#block(node), "dm"), { recursive: true });
    await writeFile(join(this.#block(node), "dm/name"), `${name}\n`);
    await writeFile(join(this.#block(node), "dm/uuid"), `${uuid}\n`);
    for (const loop of under(table))
      await writeFile(join(this.#block(loop), "holders", node), "");
  }

  /** The file of a device is removed. */
  async unlink(name: string): Promise<void> {
    const path = join(this.#block(name), "loop/backing_file");
    const file = (await readFile(path, "utf8")).trimEnd();
    await writeFile(path, `${file} (deleted)\n`);
  }

  #block(name: string): string {
    return join(this.#root, "sys/block", name);
  }

  async #loops(): Promise<readonly { name: string; file: string }[]> {
    const names = await readdir(join(this.#root, "sys/block"));
    const found = await Promise.all(
      names
        .filter((name) => name.startsWith("loop"))
        .sort()
        .map(async (name) => {
          const path = join(this.#block(name), "loop/backing_file");
          const file = await readFile(path, "utf8").catch(() => undefined);
          return file === undefined ? [] : [{ name, file: file.trimEnd() }];
        }),
    );
    return found.flat();
  }

  async #losetup({ args }: Command): Promise<ScriptedResult> {
    const taken = (await this.#loops()).map(({ name }) => name);
    if (args[0] === "--find") {
      const free = ["loop0", "loop1", "loop2", "loop3"].find(
        (name) => !taken.includes(name),
      );
      return free === undefined ? busy : { stdout: `/dev/${free}\n` };
    }
    if (args[0] === "--list") return this.#identify(args.at(-1) ?? "");
    const name = (args.at(args[0] === "--detach" ? -1 : -2) ?? "").split("/");
    const loop = name.at(-1) ?? "";
    if (args[0] === "--detach") {
      this.#autoclear.add(loop);
      await this.#clear();
      return {};
    }
    await this.beforeAttach?.(loop);
    if ((await this.#loops()).some((one) => one.name === loop)) return busy;
    await this.attach(loop, args.at(-1) ?? "", args[0] === "--read-only");
    return {};
  }

  /** What file is on a device, as losetup(8) shows it: in columns. */
  async #identify(device: string): Promise<ScriptedResult> {
    const loops = await this.#loops();
    const loop = loops.find(({ name }) => device === `/dev/${name}`);
    if (!loop) return { exitCode: 1, stderr: `losetup: ${device}: not a loop` };
    const { dev, ino } = await stat(loop.file);
    const { major, minor } = deviceNumbers(dev);
    return {
      stdout: `  ${String(ino)}     ${String(major)}:${String(minor)}  \n`,
    };
  }

  async #clear(): Promise<void> {
    for (const loop of this.#autoclear) {
      const holders = await readdir(join(this.#block(loop), "holders"));
      if (holders.length > 0) continue;
      this.#autoclear.delete(loop);
      await rm(join(this.#block(loop), "loop"), { recursive: true });
    }
  }

  async #dmsetup({ args }: Command): Promise<ScriptedResult> {
    const [verb, name = ""] = args;
    switch (verb) {
      case "targets":
        return { stdout: "snapshot         v1.16.0\nlinear  v1.4.0\n" };
      case "info": {
        const found = this.#mapped.get(args.at(-1) ?? "");
        return found === undefined
          ? { exitCode: 1, stderr: "Device does not exist.\nCommand failed." }
          : { stdout: `${found.uuid}\n` };
      }
      case "table":
        return { stdout: `${numbered(this.#mapped.get(name)?.table ?? "")}\n` };
      case "create":
        await this.beforeCreate?.();
        await this.map(name, args.at(-1) ?? "", args.at(-3));
        return {};
      case "remove":
        return this.#unmap(args.at(-1) ?? "");
      default:
        throw new Error(`dmsetup ${args.join(" ")} is not played`);
    }
  }

  async #unmap(name: string): Promise<ScriptedResult> {
    const left = this.opened.get(name) ?? 0;
    this.opened.set(name, left - 1);
    if (left > 0)
      return { exitCode: 1, stderr: "ioctl: Device or resource busy" };
    const device = this.#mapped.get(name);
    if (device === undefined)
      return { exitCode: 1, stderr: `Device ${name} not found` };
    this.#mapped.delete(name);
    for (const loop of under(device.table))
      await rm(join(this.#block(loop), "holders", device.node));
    await rm(this.#block(device.node), { recursive: true, force: true });
    await this.#clear();
    return {};
  }
}

/** Names of the loop devices that a table is over. */
function under(table: string): readonly string[] {
  return [...table.matchAll(/\/dev\/(loop\d+)/g)].map(([, name = ""]) => name);
}

/** A table as the kernel shows it. */
function numbered(table: string): string {
  return table.replaceAll(/\/dev\/loop(\d+)/g, "7:$1");
}
