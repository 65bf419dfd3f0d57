/** The start of a 64-bit ELF program with one program header of the given type; 1 is PT_LOAD, 3 is PT_INTERP. */
export function fakeElf(headerType: number): Buffer {
  const file = Buffer.alloc(64 + 56);
  file.writeUInt32BE(0x7f454c46, 0);
  file.writeUInt8(2, 4);
  file.writeUInt8(1, 5);
  file.writeBigUInt64LE(64n, 32);
  file.writeUInt16LE(56, 54);
  file.writeUInt16LE(1, 56);
  file.writeUInt32LE(headerType, 64);
  return file;
}
