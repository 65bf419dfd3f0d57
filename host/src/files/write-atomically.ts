import { randomBytes } from "node:crypto";
import { open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { asDiskFull } from "./disk-full.js";
import { syncDirectory } from "./sync.js";

/**
 * Replaces a file, mode 0600: after a crash at any moment there is the old content or the new, on disk. The directory must exist.
 * A temporary file `.<name>.<random>.tmp` stays only when the process dies in between.
 * @throws DiskFullError
 */
export async function writeAtomically(
  file: string,
  content: string,
): Promise<void> {
  const directory = dirname(file);
  const suffix = randomBytes(6).toString("hex");
  const temporary = join(directory, `.${basename(file)}.${suffix}.tmp`);
  try {
    const handle = await open(temporary, "wx", 0o600);
    try {
      await handle.writeFile(content);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw asDiskFull(`writing ${file}`, error);
  }
  await syncDirectory(directory);
}
