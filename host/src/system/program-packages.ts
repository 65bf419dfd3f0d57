import { readFile, realpath } from "node:fs/promises";
import { dirname, join, sep } from "node:path";
import { hasErrorCode } from "../files/error-code.js";
import { ProgramIncompleteError } from "./system-errors.js";

/** A package as it is found on disk. */
export interface ProgramPackage {
  readonly name: string;
  /** real path */
  readonly directory: string;
  /** its production dependencies: directories by name */
  readonly dependencies: ReadonlyMap<string, string>;
  /** is it a plugin of banger? */
  readonly isPlugin: boolean;
  /** what its package.json says it is made of; only for one of a source tree, which holds more */
  readonly files?: readonly string[];
}

interface Manifest {
  readonly name: string;
  readonly files?: readonly string[];
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly banger?: { readonly kind?: unknown };
}

/**
 * A package and everything it needs to run, found as Node.js finds it.
 * @returns by directory; `start` first
 * @throws {@link ProgramIncompleteError} when one is missing
 */
export async function findPackages(
  start: string,
): Promise<ReadonlyMap<string, ProgramPackage>> {
  const found = new Map<string, ProgramPackage>();
  const waiting = [await realpath(start)];
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    if (found.has(next)) continue;
    const each = await readPackage(next);
    found.set(next, each);
    waiting.push(...each.dependencies.values());
  }
  return found;
}

async function readPackage(directory: string): Promise<ProgramPackage> {
  const manifest = await readManifest(directory);
  const { name, files, optionalDependencies = {} } = manifest;
  const dependencies = new Map<string, string>();
  const wanted = { ...manifest.dependencies, ...optionalDependencies };
  for (const dependency of Object.keys(wanted)) {
    const place = await findPackage(dependency, directory);
    if (place !== undefined) dependencies.set(dependency, place);
    else if (!Object.hasOwn(optionalDependencies, dependency))
      throw new ProgramIncompleteError(
        `${name} in ${directory} needs ${dependency}, which is not installed`,
        { hint: "Complete the tree: npm ci, npm run build" },
      );
  }
  const isSource = !directory.split(sep).includes("node_modules");
  return {
    ...{ name, directory, dependencies },
    isPlugin: manifest.banger?.kind === "plugin",
    ...(isSource && files ? { files } : {}),
  };
}

/** @returns real path of a package's directory, as a module in `from` would find it */
export async function findPackage(
  name: string,
  from: string,
): Promise<string | undefined> {
  for (let place = from; ; place = dirname(place)) {
    const candidate = join(place, "node_modules", name);
    try {
      const directory = await realpath(candidate);
      await readManifest(directory);
      return directory;
    } catch (error) {
      if (!hasErrorCode(error, "ENOENT", "ENOTDIR")) throw error;
    }
    if (place === dirname(place)) return undefined;
  }
}

async function readManifest(directory: string): Promise<Manifest> {
  const text = await readFile(join(directory, "package.json"), "utf8");
  return JSON.parse(text) as Manifest;
}
