import { gzipSync } from "node:zlib";

/** An x86-64 ELF program of one segment that loads the whole file; `bytes` long, and hard to compress. */
export function fakeVmlinux(bytes = 300_000): Buffer {
  const file = Buffer.alloc(bytes);
  for (let at = 0, state = 1; at < bytes; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    file[at] = state >>> 24;
  }
  file.fill(0, 0, 64 + 56);
  file.writeUInt32BE(0x7f454c46, 0);
  file.writeUInt8(2, 4);
  file.writeUInt8(1, 5);
  file.writeUInt16LE(2, 16);
  file.writeUInt16LE(62, 18);
  file.writeBigUInt64LE(64n, 32);
  file.writeUInt16LE(56, 54);
  file.writeUInt16LE(1, 56);
  file.writeUInt32LE(1, 64);
  file.writeBigUInt64LE(BigInt(bytes), 64 + 32);
  return file;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

/** As the kernel's build does for every format but gzip. */
export function withSize(packed: Buffer, unpackedBytes: number): Buffer {
  return Buffer.concat([packed, uint32(unpackedBytes)]);
}

/** `lz4 -l` of data in one block of literals. */
function lz4(data: Buffer): Buffer {
  const beyond = data.length - 15;
  const length = Buffer.alloc(Math.floor(beyond / 255) + 1, 255);
  length[length.length - 1] = beyond % 255;
  const block = Buffer.concat([Buffer.from([0xf0]), length, data]);
  return Buffer.concat([uint32(0x184c2102), uint32(block.length), block]);
}

/** A zstd frame of raw blocks. */
function zstd(data: Buffer): Buffer {
  const most = 128 * 1024;
  const pieces: Buffer[] = [
    // Magic number; one segment with four bytes of size.
    Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0xa0]),
    uint32(data.length),
  ];
  for (let at = 0; at < data.length; at += most) {
    const block = data.subarray(at, at + most);
    const isLast = at + most >= data.length ? 1 : 0;
    pieces.push(uint32((block.length << 3) | isLast).subarray(0, 3), block);
  }
  return Buffer.concat(pieces);
}

/** Payloads as they are in a bzImage. */
export const payloads = {
  gzip: (kernel: Buffer): Buffer => gzipSync(kernel),
  lz4: (kernel: Buffer): Buffer => withSize(lz4(kernel), kernel.length),
  zstd: (kernel: Buffer): Buffer => withSize(zstd(kernel), kernel.length),
};

/** A bzImage of boot protocol 2.15 around a payload. */
export function fakeBzImage(payload: Buffer, setupSectors = 39): Buffer {
  const setup = Buffer.alloc(((setupSectors || 4) + 1) * 512);
  const payloadOffset = 716;
  setup.writeUInt8(setupSectors, 0x1f1);
  setup.writeUInt16LE(0xaa55, 0x1fe);
  setup.write("HdrS", 0x202, "latin1");
  setup.writeUInt16LE(0x20f, 0x206);
  setup.writeUInt32LE(payloadOffset, 0x248);
  setup.writeUInt32LE(payload.length, 0x24c);
  const after = Buffer.alloc(4_096, 0xcc);
  return Buffer.concat([setup, Buffer.alloc(payloadOffset), payload, after]);
}
