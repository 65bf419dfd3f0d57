import { chmod, chown, mkdir, open } from "node:fs/promises";
import {
  type CommandRunner,
  type GuestKeys,
  type Image,
  throwIfCancelled,
  type VmRecord,
} from "@banger/core";
import type { WorkDiskConfig } from "./config.js";
import { diskPaths } from "./disk-plan.js";
import { readGitIdentity, renderGitIdentity, setKeys } from "./git-identity.js";
import { unpackSeed } from "./seed-archive.js";
import { SeedTree, SeedTreeProblem } from "./seed-tree.js";
import { WorkSeedError } from "./work-disk-errors.js";

export interface StagingDeps {
  readonly commands: CommandRunner;
  readonly guestKeys: GuestKeys;
  readonly config: WorkDiskConfig;
}

const mostGitConfigBytes = 64 * 1024;

/** Gathers what a new disk begins with, in the VM's staging directory, which must not exist. @throws WorkSeedError, CancelledError */
export async function stageContent(
  deps: StagingDeps,
  vm: VmRecord,
  image: Image,
  signal: AbortSignal,
): Promise<void> {
  const { staging } = diskPaths(vm);
  await mkdir(staging, { mode: 0o700 });
  // Below a set-group-id directory it would have a group that the user namespace does not map to root.
  await chown(staging, process.geteuid?.() ?? 0, process.getegid?.() ?? 0);
  await chmod(staging, 0o700);
  const tree = new SeedTree(staging);
  const { workSeed } = image.files;
  if (deps.config.seed && workSeed !== undefined)
    await unpackSeed(image, workSeed, tree, vm.spec.diskSizeBytes, signal);
  try {
    await addAuthorizedKey(deps.guestKeys, tree);
    if (deps.config.git_identity)
      await addGitIdentity(deps.commands, tree, staging, signal);
  } catch (error) {
    // Only a seed can be in the way of these two.
    if (error instanceof SeedTreeProblem)
      throw new WorkSeedError(image.name, error.message, error);
    throw error;
  }
  throwIfCancelled(signal, "making the work disk");
}

/** The install's key replaces whatever a seed brings: nobody else's key logs in. */
async function addAuthorizedKey(
  guestKeys: GuestKeys,
  tree: SeedTree,
): Promise<void> {
  const key = Buffer.from(`${await guestKeys.authorizedKey()}\n`);
  await tree.replaceDirectory([".ssh"], 0o700);
  await tree.addFile([".ssh", "authorized_keys"], 0o600, key, key.byteLength);
}

/** What a seed's own .gitconfig sets stays. */
async function addGitIdentity(
  commands: CommandRunner,
  tree: SeedTree,
  staging: string,
  signal: AbortSignal,
): Promise<void> {
  const kind = tree.kind(".gitconfig");
  if (kind !== undefined && kind !== "file") return;
  const identity = await readGitIdentity(commands, signal);
  const own = kind === "file" ? await readOwn(`${staging}/.gitconfig`) : "";
  if (own === undefined) return;
  const set = setKeys(own);
  const section = renderGitIdentity({
    ...(identity.name === undefined || set.has("name")
      ? {}
      : { name: identity.name }),
    ...(identity.email === undefined || set.has("email")
      ? {}
      : { email: identity.email }),
  });
  if (section === "") return;
  const between = own === "" || own.endsWith("\n") ? "" : "\n";
  const text = Buffer.from(`${own}${between}${section}`);
  await tree.addFile([".gitconfig"], 0o644, text, text.byteLength);
}

/** @returns `undefined` when the file is too big to be a person's git configuration */
async function readOwn(path: string): Promise<string | undefined> {
  const file = await open(path, "r");
  try {
    const { size } = await file.stat();
    return size > mostGitConfigBytes ? undefined : await file.readFile("utf8");
  } finally {
    await file.close();
  }
}
