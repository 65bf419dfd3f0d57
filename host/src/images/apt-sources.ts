import { readFile } from "node:fs/promises";

/** Files of the host that say what it runs and where its packages come from. */
export interface AptSourceFiles {
  /** os-release(5) */
  readonly release: string;
  /** tried in this order */
  readonly candidates: readonly string[];
}

const hostFiles: AptSourceFiles = {
  release: "/etc/os-release",
  candidates: [
    "/etc/apt/sources.list.d/debian.sources",
    "/etc/apt/sources.list",
  ],
};

/**
 * The host's own package sources, when the host runs the suite that is wanted: a file that mmdebstrap reads, in either of apt's
 * formats. `undefined` leaves the choice to mmdebstrap, which knows Debian's mirrors.
 */
export async function aptSources(
  suite: string,
  { release: releaseFile, candidates }: AptSourceFiles = hostFiles,
): Promise<string | undefined> {
  const release = (await read(releaseFile)) ?? "";
  const isWanted =
    field(release, "ID") === "debian" &&
    field(release, "VERSION_CODENAME") === suite;
  if (!isWanted) return undefined;
  for (const path of candidates) {
    const text = (await read(path)) ?? "";
    // Installation media are not there any more, and mmdebstrap fails on them.
    if (/^(deb\s|Types:)/m.test(text) && !/^(deb|URIs:)\s.*cdrom:/m.test(text))
      return path;
  }
  return undefined;
}

/** A value of os-release(5), which may be quoted. */
function field(release: string, name: string): string | undefined {
  return new RegExp(`^${name}=(["']?)(.*)\\1$`, "m").exec(release)?.[2];
}

async function read(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
