import {
  chmod,
  constants,
  copyFile,
  lchown,
  readdir,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import { programFiles } from "./layout.js";
import { ensureOwnedDirectory, publicDirectory } from "./owned-directory.js";
import { placePackages } from "./place-packages.js";
import type { ProgramPackage } from "./program-packages.js";
import { untrustedPart } from "./trusted-path.js";

/** Parts of packages that only building them takes, by package: paths that begin so are left out, unless they are kept. */
const buildParts: Readonly<
  Record<string, { leave: readonly string[]; keep: readonly string[] }>
> = {
  "better-sqlite3": {
    leave: ["build", "deps", "src"],
    keep: ["build/Release/better_sqlite3.node"],
  },
};

/**
 * Copies the program with all packages it needs into a new directory: root's, readable by all, and independent of where it came from.
 * A copy that was cut short is to be removed.
 */
export async function copyProgram(options: {
  readonly packages: ReadonlyMap<string, ProgramPackage>;
  /** the Node.js that runs it */
  readonly node: string;
  /** absent; its parent is root's */
  readonly target: string;
  /** the program's directory as the command line names it */
  readonly programPath: string;
}): Promise<void> {
  const { packages, node, target, programPath } = options;
  await ensureOwnedDirectory(target, publicDirectory);
  for (const { path, source } of placePackages(packages)) {
    await makeBelow(target, path);
    await copyPackage(source, join(target, path));
  }
  await makeBelow(target, "bin");
  await placeNode(node, join(target, programFiles.node));
  const script = join(target, programFiles.command);
  await writeFile(
    script,
    `#!/bin/sh\nexec ${programPath}/${programFiles.node} ${programPath}/${programFiles.cli} "$@"\n`,
    { flag: "wx" },
  );
  await lchown(script, 0, 0);
  await chmod(script, 0o755);
}

/** The Node.js that runs now, when nobody but root can change it; else a copy. */
async function placeNode(node: string, target: string): Promise<void> {
  if ((await untrustedPart(node)) === undefined) await symlink(node, target);
  else {
    await copyFile(node, target, constants.COPYFILE_FICLONE);
    await lchown(target, 0, 0);
    await chmod(target, 0o755);
  }
}

async function copyPackage(
  { name, directory, files }: ProgramPackage,
  target: string,
): Promise<void> {
  const { leave, keep } = buildParts[name] ?? { leave: [], keep: [] };
  const left = files?.flatMap((file) =>
    file.startsWith("!") ? [] : [file.replace(/\/$/, "")],
  );
  await copyTree(directory, target, (path) => {
    const [top = ""] = path.split("/");
    if (top === "node_modules" || top === ".git") return false;
    if (left && !["package.json", ...left].includes(top)) return false;
    if (left && /\.map$|(^|\/)\.tsbuildinfo$/.test(path)) return false;
    return (
      !leave.includes(top) ||
      keep.some((kept) => kept === path || kept.startsWith(`${path}/`))
    );
  });
}

async function copyTree(
  source: string,
  target: string,
  includes: (path: string) => boolean,
  below = "",
): Promise<void> {
  await ensureOwnedDirectory(join(target, below), publicDirectory);
  for (const entry of await readdir(join(source, below), {
    withFileTypes: true,
  })) {
    const path = below === "" ? entry.name : `${below}/${entry.name}`;
    if (!includes(path)) continue;
    if (entry.isDirectory()) await copyTree(source, target, includes, path);
    else if (entry.isFile())
      await copyOne(join(source, path), join(target, path));
  }
}

/** A copy shares blocks where it can, never the file: whoever owns the source could change it. */
async function copyOne(source: string, target: string): Promise<void> {
  const { mode } = await stat(source);
  await copyFile(
    source,
    target,
    constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL,
  );
  await lchown(target, 0, 0);
  await chmod(target, (mode & 0o100) === 0 ? 0o644 : 0o755);
}

/** Parents of a package's place. */
async function makeBelow(target: string, path: string): Promise<void> {
  const parent = dirname(path);
  if (parent !== ".") await makeBelow(target, parent);
  await ensureOwnedDirectory(join(target, path), publicDirectory);
}
