import type { Logger, Plugin } from "@banger/core";
import { isBangerError } from "@banger/core";
import { requireRootOwnedTree } from "@banger/host/helper";
import {
  findInstalledPlugins,
  importPlugin,
  packageDirectory,
  type PackageRoots,
} from "../plugins/installed-plugins.js";

/**
 * Loads the plugins whose privileged requests root carries out. Code that somebody else could change is not run, and a plugin that does not
 * load is left out, with an error in the log: the requests of all others are needed to stop the VMs that run.
 */
export async function loadPrivilegedPlugins(
  packages: readonly string[],
  roots: PackageRoots,
  logger: Logger,
): Promise<readonly Plugin[]> {
  const plugins: Plugin[] = [];
  // Most are in one tree, and looking at all of it takes as long as everything else.
  const trees = new Set<string>();
  const requireTrusted = async (tree: string): Promise<void> => {
    if (trees.has(tree)) return;
    await requireRootOwnedTree(tree);
    trees.add(tree);
  };
  for (const packageName of packages) {
    try {
      plugins.push(await load(packageName, roots, requireTrusted));
    } catch (error) {
      if (!isBangerError(error)) throw error;
      logger.error("A plugin's requests cannot be carried out", {
        package: packageName,
        error,
      });
    }
  }
  return plugins;
}

async function load(
  packageName: string,
  roots: PackageRoots,
  requireTrusted: (tree: string) => Promise<void>,
): Promise<Plugin> {
  const directory = packageDirectory(packageName, roots);
  // Its dependencies are found beside it.
  await requireTrusted(modulesAround(directory) ?? directory);
  // All of it has been looked at: from here on, what is loaded is what was seen.
  const [installed] = findInstalledPlugins([packageName], roots);
  if (!installed) throw new Error("one package is one plugin");
  return importPlugin(installed, roots);
}

/** The outermost `node_modules` that holds a directory. */
function modulesAround(directory: string): string | undefined {
  const name = "/node_modules";
  const at = directory.indexOf(`${name}/`);
  return at < 0 ? undefined : directory.slice(0, at + name.length);
}
