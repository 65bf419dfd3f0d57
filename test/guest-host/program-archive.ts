import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { repository } from "../install.js";

/** npm's own record of what it installed, by path. */
interface InstalledPackages {
  readonly packages: Readonly<
    Record<string, { readonly dev?: boolean; readonly link?: boolean }>
  >;
}

/** What no program reads as it runs: sources, declarations, documents and tests of packages. */
const unneeded = [
  ...["*.map", "*.ts", "*.cts", "*.mts", "*.md", "*.yml", "*.c", "*.cc", "*.h"],
  ...["better-sqlite3/deps", "cpu-features/deps", "zod/src"],
  ...["test", "tests", "docs"],
];

/**
 * The built program as a gzipped tar: the packages of this tree with what they are published with, and what they need to run. Root owns
 * all of it.
 */
export function packProgram(): Buffer {
  const paths = [
    "package.json",
    "package-lock.json",
    ...workspaces().flatMap((folder) => published(folder)),
    ...linkedPackages(),
    ...productionPackages(),
  ];
  const exclude = unneeded.map((pattern) => `--exclude=${pattern}`);
  const owner = ["--owner=0", "--group=0", "--numeric-owner"];
  return execFileSync(
    "tar",
    ["--create", "--gzip", ...exclude, ...owner, "--files-from=-"],
    { cwd: repository, input: paths.join("\n"), maxBuffer: 2 ** 30 },
  );
}

function workspaces(): readonly string[] {
  const plugins = readdirSync(join(repository, "plugins"));
  return ["core", "host", "cli", ...plugins.map((name) => `plugins/${name}`)];
}

function published(folder: string): readonly string[] {
  const manifest = readJson(`${folder}/package.json`) as {
    readonly files: readonly string[];
  };
  return ["package.json", ...manifest.files]
    .filter((pattern) => !pattern.startsWith("!"))
    .map((name) => `${folder}/${name}`);
}

function linkedPackages(): readonly string[] {
  const scope = "node_modules/@banger";
  return readdirSync(join(repository, scope)).map((name) => `${scope}/${name}`);
}

function productionPackages(): readonly string[] {
  const { packages } = readJson(
    "node_modules/.package-lock.json",
  ) as InstalledPackages;
  return Object.entries(packages)
    .filter(([path, { dev, link }]) => isInstalled(path) && !dev && !link)
    .map(([path]) => path);
}

/** Of the optional ones the record also has those for other machines. */
function isInstalled(path: string): boolean {
  return path.startsWith("node_modules/") && existsSync(join(repository, path));
}

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(join(repository, path), "utf8"));
}
