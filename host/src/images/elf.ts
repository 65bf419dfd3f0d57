/** Program header type that names the dynamic linker (elf(5): PT_INTERP). */
const interpreterHeader = 3;

/**
 * Is it a 64-bit little-endian ELF program that needs no dynamic linker? Pure; any bytes are fine.
 * @see elf(5)
 */
export function isStaticProgram(file: Buffer): boolean {
  const isElf =
    file.length >= 64 && file.readUInt32BE(0) === 0x7f454c46 && file[4] === 2;
  if (!isElf || file[5] !== 1) return false;
  const tableOffset = Number(file.readBigUInt64LE(32));
  const entryBytes = file.readUInt16LE(54);
  const entries = file.readUInt16LE(56);
  for (let index = 0; index < entries; index++) {
    const at = tableOffset + index * entryBytes;
    if (at + 4 > file.length) return false;
    if (file.readUInt32LE(at) === interpreterHeader) return false;
  }
  return true;
}
