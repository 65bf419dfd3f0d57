import { readFile } from "node:fs/promises";

const candidates = [
  "/etc/apt/sources.list.d/debian.sources",
  "/etc/apt/sources.list",
];

/**
 * The host's own package sources, when the host runs the suite that is wanted: a file that mmdebstrap reads, in either of apt's
 * formats. `undefined` leaves the choice to mmdebstrap, which knows Debian's mirrors.
 */
export async function aptSources(suite: string): Promise<string | undefined> {
  const release = await read("/etc/os-release");
  const isDebian = /^ID=debian$/m.test(release ?? "");
  if (!isDebian || !release?.includes(`VERSION_CODENAME=${suite}`))
    return undefined;
  for (const path of candidates) {
    if (/^(deb\s|Types:)/m.test((await read(path)) ?? "")) return path;
  }
  return undefined;
}

async function read(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
