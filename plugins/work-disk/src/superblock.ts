import { open } from "node:fs/promises";

const superblockOffset = 1024;
const superblockBytes = 1024;
const ext4Magic = 0xef53;
/** flag of `s_feature_incompat`: block numbers have 64 bits */
const incompat64bit = 0x80;

/**
 * Size of the file system that an ext4 superblock describes, bytes; `undefined` for anything else. The guest writes these bytes, so
 * every number is bounded. Pure.
 * @see Linux, Documentation/filesystems/ext4/super.rst
 */
export function fileSystemBytes(superblock: Buffer): number | undefined {
  if (superblock.byteLength < superblockBytes) return undefined;
  if (superblock.readUInt16LE(0x38) !== ext4Magic) return undefined;
  const logBlockSize = superblock.readUInt32LE(0x18);
  // 2^10 shifted by at most 6: ext4 ends at blocks of 64 KiB.
  if (logBlockSize > 6) return undefined;
  const is64bit = (superblock.readUInt32LE(0x60) & incompat64bit) !== 0;
  const high = is64bit ? superblock.readUInt32LE(0x150) : 0;
  const blocks = high * 2 ** 32 + superblock.readUInt32LE(0x4);
  const bytes = blocks * 2 ** (10 + logBlockSize);
  return blocks > 0 && Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** Reads the superblock of a disk's file. @returns `undefined` when the file is shorter */
export async function readFileSystemBytes(
  path: string,
): Promise<number | undefined> {
  const file = await open(path, "r");
  try {
    const buffer = Buffer.alloc(superblockBytes);
    const { bytesRead } = await file.read(
      buffer,
      0,
      superblockBytes,
      superblockOffset,
    );
    return fileSystemBytes(buffer.subarray(0, bytesRead));
  } finally {
    await file.close();
  }
}
