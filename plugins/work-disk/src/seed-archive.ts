import { createReadStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import type { Header } from "tar-stream";
import { isBangerError, throwIfCancelled, type Image } from "@banger/core";
import { seedPath } from "./seed-path.js";
import { SeedTree, SeedTreeProblem } from "./seed-tree.js";
import { WorkSeedError } from "./work-disk-errors.js";

const mostMembers = 100_000;
/** tar-stream keeps the headers before a member in memory, however long they say they are. */
const mostHeaderBytes = 2 ** 20;

/** Bytes read since the last member or the last of its content. */
interface Watch {
  bytes: number;
}

/**
 * Unpacks an image's work seed: a tar, hostile like everything that comes with an image. Members are files, directories, symbolic
 * links (kept, never followed) and hard links to files of the same archive; anything else is refused, and so is a path that is
 * absolute or climbs. Owner, extended attributes and set-id bits are not taken over.
 * @param mostBytes content that is accepted, bytes
 * @throws WorkSeedError, CancelledError
 */
export async function unpackSeed(
  image: Image,
  archive: string,
  tree: SeedTree,
  mostBytes: number,
  signal: AbortSignal,
): Promise<void> {
  // Only where an image has a seed: an idle daemon does without it.
  const { extract } = await import("tar-stream");
  const members = extract();
  const watch: Watch = { bytes: 0 };
  const reading = pipeline(
    createReadStream(archive),
    (chunks: AsyncIterable<Uint8Array>) => guarded(chunks, watch),
    members as unknown as NodeJS.WritableStream,
    { signal },
  );
  // It may reject while this function waits for a member; it is looked at where that is over.
  reading.catch(() => undefined);
  try {
    let count = 0;
    let bytes = 0;
    for await (const member of members) {
      throwIfCancelled(signal, "unpacking the work seed");
      count += 1;
      if (count > mostMembers)
        throw new SeedTreeProblem(
          `has more than ${String(mostMembers)} members`,
        );
      watch.bytes = 0;
      const content = counted(member as AsyncIterable<Uint8Array>, watch);
      bytes += await addMember(tree, member.header, content, mostBytes - bytes);
      member.resume();
    }
    await reading;
  } catch (error) {
    members.destroy();
    // Its own rejection is the consequence of what is thrown here.
    await reading.catch(() => undefined);
    throwIfCancelled(signal, "unpacking the work seed");
    if (isBangerError(error)) throw error;
    if (error instanceof SeedTreeProblem)
      throw new WorkSeedError(image.name, error.message, error);
    throw new WorkSeedError(image.name, "cannot be unpacked", error);
  }
}

async function* guarded(
  chunks: AsyncIterable<Uint8Array>,
  watch: Watch,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    watch.bytes += chunk.byteLength;
    if (watch.bytes > mostHeaderBytes)
      throw new SeedTreeProblem("has a header that does not end");
    yield chunk;
  }
}

async function* counted(
  chunks: AsyncIterable<Uint8Array>,
  watch: Watch,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    watch.bytes = 0;
    yield chunk;
  }
}

/** @returns bytes of content */
async function addMember(
  tree: SeedTree,
  header: Header,
  content: AsyncIterable<Uint8Array>,
  mostBytes: number,
): Promise<number> {
  const { name, mode, size } = header;
  // null in members that link nowhere, whatever the types say
  const linkname = (header.linkname as string | null) ?? "";
  // The types name the usual kinds only; the archive says whatever it likes.
  const type: string = header.type;
  const parts = pathOf(name, name);
  if (parts.length === 0) {
    // The root itself: /root's mode and owner are the plugin's.
    if (type === "directory") return 0;
    throw new SeedTreeProblem(
      "puts something that is no directory in place of /root",
    );
  }
  switch (type) {
    case "directory":
      await tree.addDirectory(parts, mode);
      return 0;
    case "file":
    case "contiguous-file":
      if (size > mostBytes)
        throw new SeedTreeProblem("is bigger than the disk");
      return tree.addFile(parts, mode, content, mostBytes);
    case "symlink":
      await tree.addSymlink(parts, linkname);
      return 0;
    case "link":
      await tree.addHardLink(parts, pathOf(linkname, name));
      return 0;
    default:
      throw new SeedTreeProblem(
        `has ${printable(name)}, a ${type}; only files, directories and links may be in it`,
      );
  }
}

function pathOf(path: string, member: string): readonly string[] {
  const parts = seedPath(path);
  if (parts) return parts;
  throw new SeedTreeProblem(
    `has the path ${printable(path)} (member ${printable(member)}), which leaves /root or is no path`,
  );
}

function printable(text: string): string {
  return JSON.stringify(text.slice(0, 120));
}
