import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname } from "node:path";
import { pathToFileURL } from "node:url";
import {
  parsePluginManifest,
  PluginLoadError,
  PluginManifestError,
  type InstalledPlugin,
  type Plugin,
} from "@banger/core";

/** Where packages are looked for: what came with this install, then what its owner added. */
export interface PackageRoots {
  /** a file below whose `node_modules` packages are found */
  readonly from: readonly string[];
}

/**
 * Reads the manifests of the configured packages; no code of theirs runs.
 * @throws PluginManifestError for a package that is missing or no plugin
 */
export function findInstalledPlugins(
  packages: readonly string[],
  roots: PackageRoots,
): readonly InstalledPlugin[] {
  return packages.map((packageName) => {
    const packageJson = readPackageJson(packageName, roots);
    const { version, description } = packageJson;
    return {
      packageName,
      version: typeof version === "string" ? version : "unknown",
      description: typeof description === "string" ? description : "",
      manifest: parsePluginManifest(packageName, packageJson),
    };
  });
}

/** Imports a plugin's code: the export `plugin` of its package. @throws PluginLoadError */
export async function importPlugin(
  installed: InstalledPlugin,
  roots: PackageRoots,
): Promise<Plugin> {
  const { packageName, manifest } = installed;
  const path = resolve(packageName, roots);
  if (path === undefined)
    throw new PluginLoadError(manifest.id, `${packageName} has no entry`);
  let module: { plugin?: Plugin };
  try {
    module = (await import(pathToFileURL(path).href)) as { plugin?: Plugin };
  } catch (error) {
    throw new PluginLoadError(
      manifest.id,
      `importing ${packageName} failed`,
      error,
    );
  }
  if (typeof module.plugin?.apply !== "function") {
    throw new PluginLoadError(
      manifest.id,
      `${packageName} does not export \`plugin\``,
    );
  }
  return module.plugin;
}

/** Directory of an installed package; links are followed. @throws PluginManifestError when it is not installed */
export function packageDirectory(
  packageName: string,
  roots: PackageRoots,
): string {
  return dirname(findPackageJson(packageName, roots));
}

function readPackageJson(
  packageName: string,
  roots: PackageRoots,
): Record<string, unknown> {
  const path = findPackageJson(packageName, roots);
  try {
    return JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
  } catch (error) {
    throw new PluginManifestError(
      packageName,
      "its package.json cannot be read",
      error,
    );
  }
}

function findPackageJson(packageName: string, roots: PackageRoots): string {
  const path = resolve(`${packageName}/package.json`, roots);
  if (path !== undefined) return path;
  throw new PluginManifestError(
    packageName,
    "it is not installed, or hides its package.json",
  );
}

function resolve(
  specifier: string,
  { from }: PackageRoots,
): string | undefined {
  for (const root of from) {
    try {
      return createRequire(root).resolve(specifier);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (
        code !== "MODULE_NOT_FOUND" &&
        code !== "ERR_PACKAGE_PATH_NOT_EXPORTED"
      )
        throw error;
    }
  }
  return undefined;
}
