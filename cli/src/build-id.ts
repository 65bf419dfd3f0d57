import { readFileSync } from "node:fs";
import { join } from "node:path";

/** What this code is. */
export interface Build {
  /** of the package */
  readonly version: string;
  /** 12 hexadecimal digits over the daemon's code, written by the build; `dev` without one */
  readonly id: string;
}

/** Reads it from beside this file: cheap, and the same for the CLI bundle and the daemon. */
export function readBuild(directory: string = import.meta.dirname): Build {
  const manifest = readFileSync(join(directory, "../package.json"), "utf8");
  const { version } = JSON.parse(manifest) as { version: string };
  return { version, id: readId(join(directory, "build-id")) };
}

function readId(file: string): string {
  try {
    return readFileSync(file, "utf8").trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "dev";
    throw error;
  }
}
