import { throwIfCancelled, type NewcEntry } from "@banger/core";
import type { FileSyncEntry } from "./config.js";
import { FileSyncTooLargeError } from "./file-sync-errors.js";
import { expandHostPath, parentsOf } from "./guest-path.js";
import {
  inspectConfigured,
  inspectInside,
  listDirectory,
  readHostFile,
} from "./host-file.js";

/** Most bytes of content and headers that one start carries. */
const mostSyncedBytes = 64 * 2 ** 20;
/** A member's header in the archive, bytes; its path comes on top. */
const headerBytes = 110;
/** Directories between /root and a synced path: nobody but root gets through /root, so nobody misses the other bits. */
const parentMode = 0o700;

export interface SyncSource {
  readonly entries: readonly FileSyncEntry[];
  readonly homeDirectory: string;
  readonly signal: AbortSignal;
  /** told what is left out, and why */
  readonly warn: (message: string) => void;
  /** default 64 MiB */
  readonly mostBytes?: number;
}

/**
 * The members of the archive, one after another in the order of the entries: parent directories, files, and synced directories with
 * all that is in them. Each call reads the host anew.
 * @throws FileSyncUnreadableError, FileSyncTooLargeError, CancelledError
 */
export async function* syncMembers(
  source: SyncSource,
): AsyncGenerator<NewcEntry> {
  const budget = new Budget(source.mostBytes ?? mostSyncedBytes);
  const made = new Set<string>();
  for (const entry of source.entries) {
    const host = expandHostPath(entry.host, source.homeDirectory);
    const kind = await inspectConfigured(host);
    if (kind !== "file" && kind !== "directory") {
      source.warn(leftOut(entry.host, kind));
      continue;
    }
    for (const path of parentsOf(entry.guest)) {
      if (made.has(path)) continue;
      made.add(path);
      budget.spend(host, path, 0);
      yield { kind: "directory", path, mode: parentMode };
    }
    const from = { host, guest: entry.guest };
    yield* kind === "file"
      ? fileMember(source, budget, from, entry.mode)
      : directoryMembers(source, budget, made, from);
  }
}

/** One line for a configured path that is not synced. Pure. */
export function leftOut(path: string, kind: string): string {
  switch (kind) {
    case "missing":
      return `${path} does not exist and is not synced`;
    case "link":
      return `${path} is a symbolic link to no file and is not synced`;
    default:
      return `${path} is neither a file nor a directory and is not synced`;
  }
}

function changed(host: string): string {
  return `${host} changed while it was read and is not synced`;
}

interface Place {
  readonly host: string;
  readonly guest: string;
}

async function* directoryMembers(
  source: SyncSource,
  budget: Budget,
  made: Set<string>,
  { host, guest }: Place,
): AsyncGenerator<NewcEntry> {
  throwIfCancelled(source.signal, "syncing files");
  const { mode } = await inspectInside(host);
  budget.spend(host, guest, 0);
  made.add(guest);
  yield { kind: "directory", path: guest, mode };
  for (const name of await listDirectory(host)) {
    const inside = { host: `${host}/${name}`, guest: `${guest}/${name}` };
    const { kind } = await inspectInside(inside.host);
    if (kind === "file") yield* fileMember(source, budget, inside, undefined);
    else if (kind === "directory")
      yield* directoryMembers(source, budget, made, inside);
    else if (kind === "link")
      source.warn(`${inside.host} is a symbolic link and is not synced`);
    else if (kind === "special")
      source.warn(
        `${inside.host} is neither a file nor a directory and is not synced`,
      );
    else source.warn(changed(inside.host));
  }
}

/** @param mode `undefined`: inside a directory; the file keeps its own, and a link in its place is not followed */
async function* fileMember(
  source: SyncSource,
  budget: Budget,
  { host, guest }: Place,
  mode: number | undefined,
): AsyncGenerator<NewcEntry> {
  throwIfCancelled(source.signal, "syncing files");
  budget.spend(host, guest, 0);
  const file = await readHostFile(host, mode !== undefined, budget.left);
  if (file === "too-large")
    throw new FileSyncTooLargeError(host, budget.mostBytes);
  if (file === undefined) {
    source.warn(changed(host));
    return;
  }
  budget.spend(host, "", file.content.byteLength);
  const { content } = file;
  yield { kind: "file", path: guest, mode: mode ?? file.mode, content };
}

class Budget {
  readonly mostBytes: number;
  #spent = 0;

  constructor(mostBytes: number) {
    this.mostBytes = mostBytes;
  }

  get left(): number {
    return this.mostBytes - this.#spent;
  }

  spend(host: string, path: string, contentBytes: number): void {
    const header = path === "" ? 0 : headerBytes + Buffer.byteLength(path);
    this.#spent += header + contentBytes;
    if (this.#spent > this.mostBytes)
      throw new FileSyncTooLargeError(host, this.mostBytes);
  }
}
