/** Most bytes of a name, the root's included (RFC 1035 §2.3.4). */
export const mostNameBytes = 255;

/** A name as it stands in a message without compression: each label behind its length, the root's empty one last. Pure. */
export function encodeName(labels: readonly string[]): Buffer {
  return Buffer.concat([
    ...labels.map((label) => {
      const bytes = Buffer.from(label, "latin1");
      return Buffer.concat([Buffer.of(bytes.length), bytes]);
    }),
    Buffer.of(0),
  ]);
}

/**
 * Reads a name and writes it out, following compression pointers. Pure. Each pointer must lead further back than the one before, so it ends
 * whatever the bytes are.
 * @returns the name, and the offset behind what stands at `start`; `undefined` for bytes that are no name
 */
export function readName(
  bytes: Buffer,
  start: number,
): { readonly wire: Buffer; readonly end: number } | undefined {
  const wire = Buffer.allocUnsafe(mostNameBytes);
  let written = 0;
  let offset = start;
  let end: number | undefined;
  let earliest = start;
  for (;;) {
    const length = bytes[offset];
    if (length === undefined) return undefined;
    if (length >= 0xc0) {
      const low = bytes[offset + 1];
      if (low === undefined) return undefined;
      const target = ((length & 0x3f) << 8) | low;
      if (target >= earliest) return undefined;
      end ??= offset + 2;
      earliest = target;
      offset = target;
      continue;
    }
    const next = offset + 1 + length;
    if (length > 63 || next > bytes.length) return undefined;
    if (written + 1 + length > mostNameBytes) return undefined;
    bytes.copy(wire, written, offset, next);
    written += 1 + length;
    offset = next;
    if (length === 0)
      return { wire: wire.subarray(0, written), end: end ?? offset };
  }
}

/** The same for names that differ in case only. Pure. Lengths are below "A", so it leaves them alone. */
export function nameKey(wire: Buffer): string {
  const text = wire.toString("latin1");
  return /[A-Z]/.test(text)
    ? text.replace(/[A-Z]/g, (letter) => letter.toLowerCase())
    : text;
}
