import { randomBytes } from "node:crypto";
import { open, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { CommandRunner, Image, Logger, VmRecord } from "@banger/core";
import { requireFreeBytes } from "../files/disk-full.js";
import { ensureFile, syncData } from "./new-file.js";
import { hasFile, rootDiskFile } from "./root-disk-files.js";

/** Some 10 GiB on a slow disk take minutes. */
const copyLimitMs = 1_800_000;

/**
 * Makes the root disk as a copy that has the image's holes. Idempotent; an abort leaves nothing.
 * @throws DiskFullError, before anything is written where the image's data do not fit
 */
export async function ensureCopy(
  { commands, logger }: { commands: CommandRunner; logger: Logger },
  vm: VmRecord,
  image: Image,
  signal: AbortSignal,
): Promise<void> {
  const path = rootDiskFile(vm, "copy");
  if (await hasFile(path)) return;
  const { rootfs } = image.files;
  const what = `copying the root disk of ${vm.name}`;
  const bytes = await dataBytes(rootfs);
  await requireFreeBytes(what, dirname(path), bytes);
  const begun = performance.now();
  await ensureFile(path, what, async (half) => {
    // cp keeps the mode of a file that is there; the image's may be open to others.
    await (await open(half, "wx", 0o600)).close();
    await commands.run({
      file: "cp",
      args: ["--sparse=always", "--reflink=never", "--", rootfs, half],
      timeoutMs: copyLimitMs,
      signal,
    });
    await syncData(half);
  });
  const durationMs = Math.round(performance.now() - begun);
  logger.info("Root disk copied", { bytes, durationMs });
}

/** What a sparse file really holds, bytes. */
export async function dataBytes(file: string): Promise<number> {
  const { blocks } = await stat(file);
  // stat(2): blocks of 512 bytes, whatever the file system's are.
  return blocks * 512;
}

/** Enough to be past a disk's first answer, and little enough to wait for, bytes. */
const sampleBytes = 16 * 2 ** 20;

/** The sample's name while it is opened; a killed process may leave it, and the next sample takes it. */
const sampleName = ".copy-sample";

/**
 * About how long a file system takes for a copy of so many bytes, ms: a sample is written. It has lost its name by then, so it goes even with
 * a process that is killed, and two at a time do not meet.
 */
export async function estimateCopyMs(
  directory: string,
  bytes: number,
): Promise<number> {
  const path = join(directory, sampleName);
  const sample = randomBytes(sampleBytes);
  const begun = performance.now();
  const file = await open(path, "w", 0o600);
  try {
    await rm(path, { force: true });
    await file.writeFile(sample);
    await file.datasync();
  } finally {
    await file.close();
  }
  return ((performance.now() - begun) * bytes) / sampleBytes;
}
