/** A member of a cpio archive as the guest's kernel sees it. */
export interface Member {
  readonly path: string;
  readonly kind: "file" | "directory" | "symlink";
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly content: Buffer;
}

const kinds: Readonly<Record<number, Member["kind"]>> = {
  0o100000: "file",
  0o040000: "directory",
  0o120000: "symlink",
};

/**
 * Reads concatenated archives as the kernel does: each begins at a multiple of four, zeros may stand between them.
 * @throws Error for anything else
 */
export function readArchives(image: Buffer): Member[][] {
  const archives: Member[][] = [];
  let members: Member[] = [];
  let at = 0;
  while (at < image.length) {
    if (members.length === 0 && image[at] === 0) {
      at += 1;
      continue;
    }
    if (at % 4 !== 0) throw new Error(`a member begins at ${String(at)}`);
    if (image.toString("latin1", at, at + 6) !== "070701")
      throw new Error(`no member at ${String(at)}`);
    const field = (index: number): number =>
      Number.parseInt(
        image.toString("latin1", at + 6 + index * 8, at + 14 + index * 8),
        16,
      );
    const [mode, size, nameBytes] = [field(1), field(6), field(11)];
    const path = image.toString("utf8", at + 110, at + 110 + nameBytes - 1);
    const begin = align(at + 110 + nameBytes);
    if (begin + size > image.length) throw new Error(`${path} is cut off`);
    at = align(begin + size);
    if (path === "TRAILER!!!") {
      archives.push(members);
      members = [];
      continue;
    }
    const kind = kinds[mode & 0o170000];
    if (!kind) throw new Error(`${path} is nothing known`);
    members.push({
      path,
      kind,
      mode: mode & 0o7777,
      uid: field(2),
      gid: field(3),
      content: image.subarray(begin, begin + size),
    });
  }
  if (members.length > 0) throw new Error("the last archive has no end");
  return archives;
}

function align(offset: number): number {
  return Math.ceil(offset / 4) * 4;
}
