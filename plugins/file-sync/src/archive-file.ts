import { open, rename, rm } from "node:fs/promises";
import {
  newcEntry,
  newcTrailer,
  throwIfCancelled,
  type GuestConfig,
  type NewcEntry,
  type VmRecord,
} from "@banger/core";

/** Both files that the plugin makes for a VM, absolute. Pure. */
export function archivePaths(vm: VmRecord): {
  readonly archive: string;
  readonly unfinished: string;
} {
  const archive = `${vm.runtime.directory}/file-sync.cpio`;
  return { archive, unfinished: `${archive}.new` };
}

/** Declares the archive. Pure. */
export function withSyncArchive(guest: GuestConfig, vm: VmRecord): GuestConfig {
  const { archive } = archivePaths(vm);
  return {
    ...guest,
    archives: { ...guest.archives, "file-sync": { path: archive } },
  };
}

/** Writes the archive; it appears under its name when it is whole. Replaces an older one. */
export async function writeArchive(
  vm: VmRecord,
  members: AsyncIterable<NewcEntry>,
  signal: AbortSignal,
): Promise<void> {
  const { archive, unfinished } = archivePaths(vm);
  throwIfCancelled(signal, "syncing files");
  await rm(unfinished, { force: true });
  // Secrets are what people sync: nobody else may read it.
  const file = await open(unfinished, "wx", 0o600);
  try {
    for await (const member of members)
      for (const chunk of newcEntry(member)) await file.writeFile(chunk);
    await file.writeFile(newcTrailer());
  } finally {
    await file.close();
  }
  throwIfCancelled(signal, "syncing files");
  await rename(unfinished, archive);
}

/** Idempotent. */
export async function removeArchive(vm: VmRecord): Promise<void> {
  const { archive, unfinished } = archivePaths(vm);
  await rm(unfinished, { force: true });
  await rm(archive, { force: true });
}
