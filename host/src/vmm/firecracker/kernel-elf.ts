import { open } from "node:fs/promises";
import { hasErrorCode } from "../../files/error-code.js";
import { readPart } from "./read-part.js";

const headerBytes = 64;
const programHeaderBytes = 56;

/** Program header type of what is loaded (elf(5): PT_LOAD). */
const loadable = 1;

/**
 * Is the file an x86-64 ELF program, the whole of it, such as Firecracker boots? No for a file that does not exist.
 * @see elf(5)
 */
export async function isKernelElf(path: string): Promise<boolean> {
  let file;
  try {
    file = await open(path, "r");
  } catch (error) {
    if (hasErrorCode(error, "ENOENT")) return false;
    throw error;
  }
  try {
    const { size } = await file.stat();
    const table = parseElfHeader(await readPart(file, 0, headerBytes));
    if (!table || table.offset + table.bytes > size) return false;
    return loadsFrom(await readPart(file, table.offset, table.bytes), size);
  } finally {
    await file.close();
  }
}

/** Where the program headers are; `undefined` when it is no x86-64 program. Pure; any bytes are fine. */
function parseElfHeader(
  head: Buffer,
): { readonly offset: number; readonly bytes: number } | undefined {
  if (head.length < headerBytes) return undefined;
  const isProgram =
    head.readUInt32BE(0) === 0x7f454c46 &&
    head[4] === 2 && // 64 bits
    head[5] === 1 && // little-endian
    [2, 3].includes(head.readUInt16LE(16)) && // fixed or position-independent
    head.readUInt16LE(18) === 62 && // x86-64
    head.readUInt16LE(54) === programHeaderBytes;
  return isProgram
    ? {
        offset: Number(head.readBigUInt64LE(32)),
        bytes: head.readUInt16LE(56) * programHeaderBytes,
      }
    : undefined;
}

/** Is there something to load, and all of it inside the file? Pure; any bytes are fine. */
function loadsFrom(headers: Buffer, fileBytes: number): boolean {
  let segments = 0;
  for (
    let at = 0;
    at + programHeaderBytes <= headers.length;
    at += programHeaderBytes
  ) {
    if (headers.readUInt32LE(at) !== loadable) continue;
    const end =
      headers.readBigUInt64LE(at + 8) + headers.readBigUInt64LE(at + 32);
    if (end > BigInt(fileBytes)) return false;
    segments += 1;
  }
  return segments > 0;
}
