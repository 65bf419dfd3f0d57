import { InvalidValueError } from "../errors.js";
import type { GuestFile } from "../model/guest-config.js";

/** One member of a cpio archive; owner is root:root. Paths are relative to the directory it is unpacked in. */
export type NewcEntry = GuestFile & {
  readonly path: string;
  /** seconds since 1970, default 0 */
  readonly mtimeSeconds?: number;
};

/** Longest path or link target, bytes with the closing NUL (PATH_MAX, which the kernel's unpacker enforces). */
const mostPathBytes = 4096;
const mostContentBytes = 0xffff_ffff;
const fileType = { file: 0o100000, directory: 0o040000, symlink: 0o120000 };
const trailerName = "TRAILER!!!";

/**
 * Encodes one member in the "new ASCII" format that the kernel and cpio unpack. Pure.
 * @returns header, content and padding as chunks to write one after another; their length is a multiple of 4
 * @throws {@link InvalidValueError} for a path that is empty, absolute, too long, or has a `..`, an empty component or a NUL
 * @see Linux, Documentation/driver-api/early-userspace/buffer-format.rst
 */
export function newcEntry(entry: NewcEntry): readonly Uint8Array[] {
  const name = checkedPath(entry.path);
  const content = contentOf(entry);
  const permissions = entry.kind === "symlink" ? 0o777 : entry.mode & 0o7777;
  return encode({
    name,
    content,
    mode: fileType[entry.kind] | permissions,
    mtimeSeconds: entry.mtimeSeconds ?? 0,
  });
}

/** The member that ends an archive; its length is a multiple of 4, so that another archive may follow. */
export function newcTrailer(): Uint8Array {
  const name = Buffer.from(trailerName);
  return Buffer.concat(
    encode({
      name,
      content: new Uint8Array(0),
      mode: 0,
      mtimeSeconds: 0,
    }),
  );
}

function encode(member: {
  name: Uint8Array;
  content: Uint8Array;
  mode: number;
  mtimeSeconds: number;
}): readonly Uint8Array[] {
  const { name, content, mode, mtimeSeconds } = member;
  const fields = [
    0, // inode: only looked at for members with several links
    mode,
    0, // uid
    0, // gid
    1, // links, for directories too: unpackers take more as the sign of a hard link
    Math.min(Math.max(Math.trunc(mtimeSeconds), 0), 0xffff_ffff),
    content.byteLength,
    0, // device of the file system, major and minor
    0,
    0, // device that a node stands for
    0,
    name.byteLength + 1,
    0, // checksum: only in the `070702` format
  ];
  const header = `070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`;
  const head = Buffer.concat([Buffer.from(header), name, Buffer.from([0])]);
  return [
    head,
    padding(head.byteLength),
    content,
    padding(content.byteLength),
  ].filter((chunk) => chunk.byteLength > 0);
}

function padding(length: number): Uint8Array {
  return new Uint8Array(-length & 3);
}

function contentOf(entry: NewcEntry): Uint8Array {
  switch (entry.kind) {
    case "directory":
      return new Uint8Array(0);
    case "symlink": {
      const target = Buffer.from(entry.target);
      if (
        target.byteLength === 0 ||
        target.byteLength >= mostPathBytes ||
        target.includes(0)
      )
        throw unusable(
          entry.path,
          "its link target is empty, too long or has a NUL",
        );
      return target;
    }
    case "file": {
      const content =
        typeof entry.content === "string"
          ? Buffer.from(entry.content)
          : entry.content;
      if (content.byteLength > mostContentBytes)
        throw unusable(entry.path, "the format ends at 4 GiB");
      return content;
    }
  }
}

function checkedPath(path: string): Uint8Array {
  const bytes = Buffer.from(path);
  if (path === "") throw unusable(path, "it is empty");
  if (bytes.byteLength >= mostPathBytes) throw unusable(path, "it is too long");
  if (bytes.includes(0)) throw unusable(path, "it has a NUL");
  if (path === trailerName) throw unusable(path, "it ends an archive");
  const parts = path.split("/");
  if (parts.some((part) => part === "" || part === "." || part === ".."))
    throw unusable(
      path,
      'it is absolute or has a "..", "." or empty component',
    );
  return bytes;
}

function unusable(path: string, why: string): InvalidValueError {
  return new InvalidValueError(
    `${JSON.stringify(path.slice(0, 200))} cannot be a path in a cpio archive: ${why}`,
    { hint: "Use a relative path without . and .. components" },
  );
}
