import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { CommandRunner, Image } from "@banger/core";
import type { UsableFirecracker } from "./program.js";
import { VmlinuxCache } from "./vmlinux.js";

/** Kernels as an installed Firecracker boots them. */
export class FirecrackerKernels {
  readonly #directory: string;
  readonly #vmlinux: VmlinuxCache;

  constructor(options: {
    commands: CommandRunner;
    /** where unpacked kernels are kept, in a directory for each image */
    kernelsDirectory: string;
  }) {
    this.#directory = options.kernelsDirectory;
    this.#vmlinux = new VmlinuxCache(options);
  }

  /** The image's kernel, or what is unpacked of it. @throws what VmlinuxCache throws */
  async ensure(
    image: Image,
    { features }: UsableFirecracker,
    signal: AbortSignal,
  ): Promise<string> {
    const { kernel } = image.files;
    if (features.bzImage) return kernel;
    const unpacked = unpackedKernel(this.#directory, image.id);
    await mkdir(dirname(unpacked), { recursive: true, mode: 0o700 });
    return this.#vmlinux.ensure(kernel, unpacked, signal);
  }
}

/** Where what is unpacked of an image's kernel is. Pure. */
export function unpackedKernel(
  kernelsDirectory: string,
  imageId: string,
): string {
  return join(kernelsDirectory, imageId, "vmlinux");
}
