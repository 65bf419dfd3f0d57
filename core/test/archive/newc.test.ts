import { describe, expect, it } from "vitest";
import { newcEntry, newcTrailer, type NewcEntry } from "@banger/core";

interface Member {
  name: string;
  mode: number;
  uid: number;
  links: number;
  mtime: number;
  content: string;
}

/** Reads an archive as the kernel does: by header fields and 4-byte steps, never by looking for the magic. */
function parse(archive: Buffer): Member[] {
  const members: Member[] = [];
  for (let at = 0; ;) {
    expect(archive.subarray(at, at + 6).toString()).toBe("070701");
    const field = (index: number) =>
      parseInt(
        archive.toString("latin1", at + 6 + index * 8, at + 14 + index * 8),
        16,
      );
    const nameEnd = at + 110 + field(11);
    const name = archive.toString("utf8", at + 110, nameEnd - 1);
    expect(archive[nameEnd - 1]).toBe(0);
    const start = (nameEnd + 3) & ~3;
    const end = start + field(6);
    const next = (end + 3) & ~3;
    if (name === "TRAILER!!!") {
      expect(next).toBe(archive.byteLength);
      return members;
    }
    members.push({
      name,
      mode: field(1),
      uid: field(2),
      links: field(4),
      mtime: field(5),
      content: archive.toString("utf8", start, end),
    });
    at = next;
  }
}

const pack = (...entries: NewcEntry[]) =>
  Buffer.concat([
    ...entries.flatMap((entry) => newcEntry(entry)),
    newcTrailer(),
  ]);

describe("newc", () => {
  it("writes files, directories and links that a reader by offsets finds again", () => {
    const archive = pack(
      { kind: "directory", path: "root/.aws", mode: 0o700 },
      {
        kind: "file",
        path: "root/.aws/config",
        mode: 0o600,
        content: "abcde",
        mtimeSeconds: 7,
      },
      {
        kind: "file",
        path: "ü",
        mode: 0o4755,
        content: new Uint8Array([104, 105]),
      },
      { kind: "symlink", path: "etc/x", target: "../y" },
    );
    expect(parse(archive)).toEqual([
      {
        name: "root/.aws",
        mode: 0o040700,
        uid: 0,
        links: 1,
        mtime: 0,
        content: "",
      },
      {
        name: "root/.aws/config",
        mode: 0o100600,
        uid: 0,
        links: 1,
        mtime: 7,
        content: "abcde",
      },
      { name: "ü", mode: 0o104755, uid: 0, links: 1, mtime: 0, content: "hi" },
      {
        name: "etc/x",
        mode: 0o120777,
        uid: 0,
        links: 1,
        mtime: 0,
        content: "../y",
      },
    ]);
  });

  it.each([0, 1, 2, 3, 4, 5])(
    "keeps the alignment with %i bytes of content and every name length",
    (size) => {
      for (let length = 1; length <= 5; length++) {
        const entry: NewcEntry = {
          kind: "file",
          path: "n".repeat(length),
          mode: 0o644,
          content: "x".repeat(size),
        };
        expect(Buffer.concat(newcEntry(entry)).byteLength % 4).toBe(0);
        expect(
          parse(pack(entry, entry)).map(({ content }) => content.length),
        ).toEqual([size, size]);
      }
    },
  );

  it.each([
    "",
    "/etc/passwd",
    "a/../b",
    "..",
    "a//b",
    "./a",
    "a/",
    "a\0b",
    "TRAILER!!!",
    "x".repeat(4096),
  ])("refuses the path %#", (path) => {
    expect(() => newcEntry({ kind: "directory", path, mode: 0o755 })).toThrow(
      expect.objectContaining({ code: "ERR_INVALID_VALUE" }) as Error,
    );
  });

  it("accepts the longest path that the kernel does", () => {
    expect(
      parse(pack({ kind: "directory", path: "x".repeat(4095), mode: 0o755 })),
    ).toHaveLength(1);
  });

  it.each(["", "a\0b", "t".repeat(4096)])(
    "refuses a link target %#",
    (target) => {
      expect(() => newcEntry({ kind: "symlink", path: "a", target })).toThrow(
        expect.objectContaining({ code: "ERR_INVALID_VALUE" }) as Error,
      );
    },
  );
});
