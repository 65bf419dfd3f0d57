import { open } from "node:fs/promises";
import { BangerError } from "@banger/core";
import { hasErrorCode } from "../../files/error-code.js";
import { readPart } from "./read-part.js";

/** Bytes of a kernel file that {@link parseSetupHeader} needs. */
const setupHeaderBytes = 0x250;

/** Largest kernel that is unpacked, bytes: a distribution's takes some 50 MiB. */
const mostKernelBytes = 512 * 1024 * 1024;

/** Smallest part that can be a compressed kernel, bytes: magic number and size. */
const leastPayloadBytes = 12;

/** Smallest kernel, bytes: an ELF header. */
const leastKernelBytes = 64;

/** How a kernel is compressed. */
export type KernelCompression = "gzip" | "lz4" | "xz" | "zstd";

/** The compressed kernel in a bzImage. */
export interface PackedKernel {
  readonly compression: KernelCompression;
  /** of the compressed kernel, from the file's start, bytes */
  readonly offset: number;
  /** of the compressed kernel */
  readonly bytes: number;
  /** size that it says the kernel has, at most 512 MiB */
  readonly unpackedBytes: number;
}

/** A kernel image is not what Firecracker, or we, can use. */
export class KernelImageError extends BangerError {
  override readonly code = "ERR_KERNEL_IMAGE";
  constructor(path: string, problem: string, cause?: unknown) {
    super(`the kernel image ${path} ${problem}`, {
      hint: "Build the image again: banger image build NAME",
      cause,
    });
  }
}

/** Bytes at the end of the payload that say how large the kernel is. */
const sizeBytes = 4;

/**
 * Finds the compressed kernel of a file. Any bytes are fine: what it returns is inside the file and within bounds.
 * @throws {@link KernelImageError}
 */
export async function inspectBzImage(path: string): Promise<PackedKernel> {
  const file = await open(path, "r").catch((error: unknown) => {
    throw hasErrorCode(error, "ENOENT")
      ? new KernelImageError(path, "does not exist", error)
      : error;
  });
  try {
    const { size } = await file.stat();
    const payload = parseSetupHeader(
      await readPart(file, 0, setupHeaderBytes),
      size,
    );
    if (!payload)
      throw new KernelImageError(path, "is no bzImage, or is cut short");
    const { offset, bytes } = payload;
    const compression = compressionOf(await readPart(file, offset, 6));
    if (!compression)
      throw new KernelImageError(path, "is compressed in an unknown way");
    const end = await readPart(file, offset + bytes - sizeBytes, sizeBytes);
    const unpackedBytes = end.readUInt32LE();
    if (unpackedBytes < leastKernelBytes || unpackedBytes > mostKernelBytes)
      throw new KernelImageError(path, "says a size that no kernel has");
    return {
      compression,
      offset,
      // gzip ends with the size; to the other formats the kernel's build appends it (Linux, scripts/Makefile.lib, size_append).
      bytes: compression === "gzip" ? bytes : bytes - sizeBytes,
      unpackedBytes,
    };
  } finally {
    await file.close();
  }
}

/**
 * Where the compressed kernel is; `undefined` when the file is no bzImage, or the kernel is not inside it. Pure; any bytes are fine.
 * @param head the first {@link setupHeaderBytes} of the file
 * @see Linux, Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header"
 */
function parseSetupHeader(
  head: Buffer,
  fileBytes: number,
): { readonly offset: number; readonly bytes: number } | undefined {
  if (head.length < setupHeaderBytes) return undefined;
  const isBzImage =
    head.readUInt16LE(0x1fe) === 0xaa55 &&
    head.toString("latin1", 0x202, 0x206) === "HdrS" &&
    // payload_offset and payload_length exist since protocol 2.08.
    head.readUInt16LE(0x206) >= 0x208;
  if (!isBzImage) return undefined;
  // 0 means 4, for the oldest kernels; the boot sector comes before them.
  const setupSectors = head.readUInt8(0x1f1) || 4;
  const offset = (setupSectors + 1) * 512 + head.readUInt32LE(0x248);
  const bytes = head.readUInt32LE(0x24c);
  return bytes >= leastPayloadBytes && offset + bytes <= fileBytes
    ? { offset, bytes }
    : undefined;
}

/** Recognises a compression by its first bytes. Pure. */
function compressionOf(start: Buffer): KernelCompression | undefined {
  const hex = start.toString("hex");
  if (hex.startsWith("1f8b08")) return "gzip";
  // What `lz4 -l` writes; today's lz4 files begin differently.
  if (hex.startsWith("02214c18")) return "lz4";
  if (hex.startsWith("fd377a585a00")) return "xz";
  if (hex.startsWith("28b52ffd")) return "zstd";
  return undefined;
}
