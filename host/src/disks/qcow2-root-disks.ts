import { access, rename, rm } from "node:fs/promises";
import type {
  Command,
  CommandRunner,
  Drive,
  Image,
  RootDisks,
  VmRecord,
} from "@banger/core";
import { orDiskFull } from "../files/disk-full.js";

/** The root disk as a qcow2 overlay whose backing file is the image's raw file system. */
export class Qcow2RootDisks implements RootDisks {
  readonly #commands: CommandRunner;

  constructor({ commands }: { commands: CommandRunner }) {
    this.#commands = commands;
  }

  drive(vm: VmRecord): Drive {
    return {
      path: `${vm.runtime.directory}/root.qcow2`,
      format: "qcow2",
      readOnly: false,
    };
  }

  async ensure(vm: VmRecord, image: Image, signal: AbortSignal): Promise<void> {
    const { path } = this.drive(vm);
    if (await exists(path)) return;
    const half = `${path}.new`;
    await rm(half, { force: true });
    const command: Command = {
      file: "qemu-img",
      args: [
        "create",
        "-q",
        "-f",
        "qcow2",
        "-F",
        "raw",
        "-b",
        image.files.rootfs,
        half,
      ],
      timeoutMs: 30_000,
      signal,
    };
    await orDiskFull(`making the root disk of ${vm.name}`, () =>
      this.#commands.run(command),
    );
    await rename(half, path);
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}
