import { createReadStream, createWriteStream } from "node:fs";
import { chmod, open, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import {
  CommandFailedError,
  KeyedLock,
  throwIfCancelled,
  ToolMissingError,
  type CommandRunner,
} from "@banger/core";
import { asDiskFull, requireFreeBytes } from "../../files/disk-full.js";
import { hasErrorCode } from "../../files/error-code.js";
import { syncDirectory } from "../../files/sync.js";
import {
  inspectBzImage,
  KernelImageError,
  type KernelCompression,
  type PackedKernel,
} from "./bz-image.js";
import { isKernelElf } from "./kernel-elf.js";

/** Longest run of a program that unpacks a kernel, ms; it takes a tenth of a second for lz4, some seconds for xz. */
const unpackLimitMs = 60_000;

/** Arguments with which a program unpacks one file into another; the input has the program's usual suffix. */
const unpackArguments: Readonly<
  Record<
    Exclude<KernelCompression, "gzip">,
    (from: string, to: string) => readonly string[]
  >
> = {
  lz4: (from, to) => ["-d", "-f", "-q", "--no-sparse", from, to],
  // It names its output itself: the input without the suffix.
  xz: (from) => ["-d", "-f", "-q", "--memlimit-decompress=512MiB", from],
  zstd: (from, to) => ["-d", "-f", "-q", "--no-sparse", "-o", to, from],
};

/**
 * Kernels as a Firecracker needs them that boots no bzImage: the ELF program `vmlinux` that every bzImage has in it. The kernel file is
 * not trusted: sizes are checked before anything is written, and the programs that unpack it cannot write more than it says it has.
 */
export class VmlinuxCache {
  readonly #commands: CommandRunner;
  readonly #lock = new KeyedLock();

  constructor({ commands }: { commands: CommandRunner }) {
    this.#commands = commands;
  }

  /**
   * Unpacks a kernel once. Idempotent, also when two starts do it at once; while it runs, and after a crash in it, there are files
   * `<vmlinuxPath>.new*`, which the next one replaces.
   * @param vmlinuxPath where it is kept; its directory must exist
   * @returns `vmlinuxPath`, or `kernelPath` when that is such a program already
   * @throws {@link KernelImageError} when there is none in it, ToolMissingError for `lz4`, `xz` or `zstd`, DiskFullError,
   *   CancelledError after `signal`
   */
  async ensure(
    kernelPath: string,
    vmlinuxPath: string,
    signal: AbortSignal,
  ): Promise<string> {
    if (await isKernelElf(kernelPath)) return kernelPath;
    await this.#lock.run(vmlinuxPath, signal, async () => {
      if (await isKernelElf(vmlinuxPath)) return;
      await this.#extract(kernelPath, vmlinuxPath, signal);
    });
    return vmlinuxPath;
  }

  async #extract(
    kernelPath: string,
    vmlinuxPath: string,
    signal: AbortSignal,
  ): Promise<void> {
    const what = `unpacking ${kernelPath}`;
    const packed = await inspectBzImage(kernelPath);
    const needed = packed.bytes + packed.unpackedBytes;
    await requireFreeBytes(what, dirname(vmlinuxPath), needed);
    const unpacked = `${vmlinuxPath}.new`;
    const payload = `${unpacked}.${packed.compression}`;
    try {
      await this.#unpack(kernelPath, packed, payload, unpacked, signal);
      const { size } = await stat(unpacked);
      if (size !== packed.unpackedBytes || !(await isKernelElf(unpacked)))
        throw new KernelImageError(
          kernelPath,
          "has something else than an ELF program in it",
        );
      // Whoever may read the one may read the other: Firecracker may run as another user.
      await chmod(unpacked, (await stat(kernelPath)).mode & 0o777);
      await sync(unpacked);
      await rename(unpacked, vmlinuxPath);
      await syncDirectory(dirname(vmlinuxPath));
    } catch (error) {
      throwIfCancelled(signal, what);
      throw asDiskFull(what, error);
    } finally {
      await rm(payload, { force: true });
      await rm(unpacked, { force: true });
    }
  }

  async #unpack(
    kernelPath: string,
    packed: PackedKernel,
    payload: string,
    unpacked: string,
    signal: AbortSignal,
  ): Promise<void> {
    const { compression, offset: start } = packed;
    const end = start + packed.bytes - 1;
    const read = (): Readable => createReadStream(kernelPath, { start, end });
    const mode = 0o600;
    if (compression === "gzip") {
      await pipeline(
        read(),
        createGunzip(),
        bounded(kernelPath, packed.unpackedBytes),
        createWriteStream(unpacked, { mode }),
        { signal },
      ).catch((error: unknown) => {
        throw hasZlibCode(error)
          ? new KernelImageError(kernelPath, "cannot be unpacked", error)
          : error;
      });
      return;
    }
    const program = await this.#commands.find(compression);
    if (program === undefined) throw new ToolMissingError(compression);
    await pipeline(read(), createWriteStream(payload, { mode }), { signal });
    await rm(unpacked, { force: true });
    try {
      await this.#commands.run({
        file: "prlimit",
        args: [
          `--fsize=${String(packed.unpackedBytes)}`,
          "--core=0",
          "--",
          program,
          ...unpackArguments[compression](payload, unpacked),
        ],
        timeoutMs: unpackLimitMs,
        signal,
      });
    } catch (error) {
      throw error instanceof CommandFailedError
        ? new KernelImageError(kernelPath, "cannot be unpacked", error)
        : error;
    }
  }
}

/** Passes bytes on up to a limit. */
function bounded(
  kernelPath: string,
  mostBytes: number,
): (pieces: AsyncIterable<Buffer>) => AsyncIterable<Buffer> {
  return async function* (pieces) {
    let bytes = 0;
    for await (const piece of pieces) {
      bytes += piece.length;
      if (bytes > mostBytes)
        throw new KernelImageError(kernelPath, "has more in it than it says");
      yield piece;
    }
  };
}

function hasZlibCode(error: unknown): boolean {
  return hasErrorCode(
    error,
    "Z_DATA_ERROR",
    "Z_BUF_ERROR",
    "Z_NEED_DICT",
    "Z_STREAM_ERROR",
  );
}

async function sync(path: string): Promise<void> {
  const file = await open(path, "r+");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
