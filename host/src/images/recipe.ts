import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

/** What an image is built from: files of this package, below `recipes/`. */
export interface Recipe {
  readonly name: string;
  readonly distribution: string;
  readonly suite: string;
  /** directory with `packages`, `customize.sh`, `kernel.sh` and what they read */
  readonly directory: string;
}

const recipesDirectory = fileURLToPath(
  new URL("../../recipes/", import.meta.url),
);

/** The images that this install can build. */
export const recipes: readonly Recipe[] = [
  {
    name: "debian-bookworm",
    distribution: "Debian 12",
    suite: "bookworm",
    directory: `${recipesDirectory}debian-bookworm`,
  },
];

/** Non-empty lines of one of a recipe's lists. */
export async function readList(path: string): Promise<readonly string[]> {
  const text = await readFile(path, "utf8");
  return text.split("\n").filter((line) => line !== "");
}

/** Directory of the initramfs's script and list of modules. */
export const initramfsDirectory = `${recipesDirectory}initramfs`;
