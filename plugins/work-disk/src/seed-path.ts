/** ext4's longest name, bytes. */
const mostNameBytes = 255;
const mostPathBytes = 4096;
const mostDepth = 64;

/**
 * The components of a member's path in a tar, with a leading `./` and a closing `/` taken off; none for the root itself. Pure.
 * @returns `undefined` for a path that is absolute, climbs, or is none that ext4 can hold
 */
export function seedPath(name: string): readonly string[] | undefined {
  if (name.startsWith("/") || name.includes("\0")) return undefined;
  if (Buffer.byteLength(name) >= mostPathBytes) return undefined;
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  const fits =
    parts.length <= mostDepth &&
    parts.every(
      (part) => part !== ".." && Buffer.byteLength(part) <= mostNameBytes,
    );
  return fits ? parts : undefined;
}
