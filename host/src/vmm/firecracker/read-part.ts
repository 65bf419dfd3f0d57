import type { FileHandle } from "node:fs/promises";

/** Bytes of a file from a position on; fewer where the file ends. */
export async function readPart(
  file: FileHandle,
  position: number,
  bytes: number,
): Promise<Buffer> {
  const buffer = Buffer.alloc(bytes);
  const { bytesRead } = await file.read({ buffer, position });
  return buffer.subarray(0, bytesRead);
}
