import { createReadStream, createWriteStream } from "node:fs";
import { readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import {
  BangerError,
  formatSize,
  newcEntry,
  newcTrailer,
  throwIfCancelled,
  type GuestBoot,
  type GuestConfig,
  type Image,
  type MachineConfig,
  type VmRecord,
} from "@banger/core";
import { asDiskFull } from "../files/disk-full.js";
import { vmFileNames } from "../files/vm-files.js";
import { guestEntries, GuestPathError } from "./guest-tree.js";

class GuestConfigTooLargeError extends BangerError {
  override readonly code = "ERR_GUEST_CONFIG_TOO_LARGE";
  override readonly kind = "usage";
  constructor(vmName: string, sizeBytes: number, memoryMiB: number) {
    super(
      `${vmName} gets ${formatSize(sizeBytes)} of files at its start, more than a quarter of its ${String(memoryMiB)} MiB of memory`,
      { hint: "Give it more memory, or sync fewer files" },
    );
  }
}

/**
 * The kernel unpacks several cpio archives one after another, so the VM's files go behind the image's initramfs, in one file.
 * @see Linux, Documentation/driver-api/early-userspace/buffer-format
 */
export class InitrdGuestBoot implements GuestBoot {
  async write(
    vm: VmRecord,
    image: Image,
    guest: GuestConfig,
    machine: MachineConfig,
    signal: AbortSignal,
  ): Promise<string> {
    const archives = await Promise.all(
      Object.entries(guest.archives).map(async ([name, { path }]) => {
        // The script's `*.cpio` sees neither names with a dot first nor directories.
        if (!/^[A-Za-z0-9_-][A-Za-z0-9._-]*$/.test(name))
          throw new GuestPathError(name, "it names an archive");
        return { name, path, sizeBytes: (await stat(path)).size };
      }),
    );
    const imageBytes = (await stat(image.files.initrd)).size;
    const entries = guestEntries(guest, machine);
    const sizeBytes = [...entries, ...archives].reduce(
      (sum, part) =>
        sum + (part instanceof Uint8Array ? part.length : part.sizeBytes),
      imageBytes,
    );
    // It is in memory twice while the kernel unpacks it, and an archive once more while the script does.
    if (sizeBytes > (machine.memoryMiB * 2 ** 20) / 4) {
      throw new GuestConfigTooLargeError(vm.name, sizeBytes, machine.memoryMiB);
    }
    const { directory } = vm.runtime;
    const path = join(directory, vmFileNames.bootInitrd);
    const unfinished = join(directory, vmFileNames.unfinishedInitrd);
    try {
      await pipeline(
        Readable.from(
          bootParts(image.files.initrd, imageBytes, entries, archives),
        ),
        createWriteStream(unfinished, { mode: 0o600 }),
        { signal },
      );
      await rename(unfinished, path);
    } catch (error) {
      await rm(unfinished, { force: true });
      throwIfCancelled(signal, `writing the boot file of ${vm.name}`);
      throw asDiskFull(`writing the boot file of ${vm.name}`, error);
    }
    return path;
  }
}

async function* bootParts(
  initrd: string,
  initrdBytes: number,
  entries: readonly Uint8Array[],
  archives: readonly { name: string; path: string }[],
): AsyncGenerator<Uint8Array> {
  yield* createReadStream(initrd) as AsyncIterable<Uint8Array>;
  // Another archive begins at a multiple of four.
  yield new Uint8Array(-initrdBytes & 3);
  yield* entries;
  yield* newcEntry({ kind: "directory", path: "banger/archives", mode: 0o700 });
  for (const { name, path } of archives) {
    const content = await readFile(path);
    yield* newcEntry({
      kind: "file",
      path: `banger/archives/${name}.cpio`,
      mode: 0o600,
      content,
    });
  }
  yield newcTrailer();
}
