import {
  chmod,
  lchown,
  mkdir,
  readlink,
  rename,
  rm,
  symlink,
} from "node:fs/promises";
import { join } from "node:path";
import { CommandFailedError } from "@banger/core";
import { hasErrorCode } from "../files/error-code.js";
import { writeAtomically } from "../files/write-atomically.js";
import { runAsOwner } from "./as-owner.js";
import { copyProgram } from "./copy-program.js";
import type { InstallRecord } from "./install-record.js";
import { systemLayout } from "./layout.js";
import { ensureOwnedDirectory, publicDirectory } from "./owned-directory.js";
import { ensureRunDirectories } from "./run-directories.js";
import { restartServices } from "./restart-services.js";
import type { SystemContext } from "./system-context.js";
import {
  commandTarget,
  isThere,
  namesIn,
  type InstallPlan,
} from "./system-plan.js";
import { Systemctl } from "./systemctl.js";
import { renderUnits, unitNames } from "./units.js";

/** What a new install is configured with where its owner has no configuration. */
const firstConfig = `# The daemon of a system install has a root helper, which the network mode \`bridge\` needs.
[network]
mode = "bridge"
`;

/** Longest configuration of the owner that is taken over, bytes. */
const mostConfigBytes = 2 ** 20;

/**
 * Installs, or brings an install up to date. Everything that it makes has a name in the record before it is made, or a fixed one, so
 * that whatever an install that was killed has left goes with an uninstall. Data stay as they are. Idempotent.
 * @throws ServiceSilentError when helper or daemon do not answer
 */
export async function installSystem(
  plan: InstallPlan,
  context: SystemContext,
): Promise<void> {
  const { record } = plan;
  const { onStep } = context;
  onStep(`record ${systemLayout.recordFile}`);
  await ensureOwnedDirectory(systemLayout.recordDirectory, publicDirectory);
  await writeRecord(record);
  for (const parent of record.parents)
    await mkdir(parent, { recursive: true, mode: 0o755 });
  await placeProgram(plan, context);
  await makeDirectories(record, context);
  if (record.service === "systemd") await placeUnits(plan, context);
  else await ensureRunDirectories(record);
  onStep(`link ${systemLayout.command}`);
  await replaceLink(commandTarget, systemLayout.command);
  await restartServices(record, context);
  await removeOtherPrograms(record, context);
}

async function writeRecord(record: InstallRecord): Promise<void> {
  const { recordFile } = systemLayout;
  await writeRootFile(recordFile, `${JSON.stringify(record, null, 2)}\n`);
}

/** Replaces a file of root's that everybody may read. */
async function writeRootFile(file: string, content: string): Promise<void> {
  await writeAtomically(file, content);
  await lchown(file, 0, 0);
  await chmod(file, 0o644);
}

async function placeProgram(
  { record, packages, node }: InstallPlan,
  { onStep, commands, signal }: SystemContext,
): Promise<void> {
  const { programsDirectory, currentProgram, sharedModules } = systemLayout;
  const { pluginsDirectory } = systemLayout;
  const target = join(programsDirectory, record.program);
  onStep(`program ${target}`);
  await ensureOwnedDirectory(programsDirectory, publicDirectory);
  await ensureOwnedDirectory(pluginsDirectory, publicDirectory);
  await copyProgram({ packages, node, target, programPath: currentProgram });
  // The links below must not lead to files that a power cut has emptied.
  await commands.run({
    file: "sync",
    args: ["--file-system", target],
    timeoutMs: 120_000,
    signal,
  });
  onStep(`link ${currentProgram}`);
  await replaceLink(record.program, currentProgram);
  await replaceLink("current/node_modules", sharedModules);
}

/** Ends the name of a link that is about to take another one's place. */
export const newLinkSuffix = ".banger-new";

/** Puts a link in the place of another one, or of nothing, at once. */
async function replaceLink(target: string, path: string): Promise<void> {
  try {
    if ((await readlink(path)) === target) return;
  } catch (error) {
    if (!hasErrorCode(error, "ENOENT")) throw error;
  }
  const next = `${path}${newLinkSuffix}`;
  await rm(next, { force: true });
  await symlink(target, next);
  await rename(next, path);
}

async function makeDirectories(
  record: InstallRecord,
  context: SystemContext,
): Promise<void> {
  const { uid, gid } = record.owner;
  const own = { uid, gid, mode: 0o700 };
  const jails = { uid: 0, gid: 0, mode: 0o711 };
  const { dataDirectory, configDirectory, stateDirectory } = systemLayout;
  const { jailDirectory, cacheDirectory } = systemLayout;
  context.onStep(`directories ${dataDirectory}, ${cacheDirectory}`);
  await ensureOwnedDirectory(dataDirectory, publicDirectory);
  // Written while it is root's: what is in a directory of the owner's may lead anywhere.
  if (!(await isThere(configDirectory))) {
    const making = `${configDirectory}.new`;
    await rm(making, { recursive: true, force: true });
    await ensureOwnedDirectory(making, { uid: 0, gid: 0, mode: 0o700 });
    const file = join(making, "config.toml");
    await writeAtomically(file, await ownersConfig(record, context));
    await lchown(file, uid, gid);
    await ensureOwnedDirectory(making, own);
    await rename(making, configDirectory);
  }
  await ensureOwnedDirectory(configDirectory, own);
  await ensureOwnedDirectory(stateDirectory, own);
  await ensureOwnedDirectory(jailDirectory, jails);
  await ensureOwnedDirectory(cacheDirectory, own);
}

/** The configuration that the owner had before there was an install. */
async function ownersConfig(
  { owner }: InstallRecord,
  { commands, signal }: SystemContext,
): Promise<string> {
  try {
    const { stdout } = await runAsOwner(commands, owner, {
      file: "cat",
      args: ["--", join(owner.home, ".config/banger/config.toml")],
      timeoutMs: 30_000,
      maxOutputBytes: mostConfigBytes,
      signal,
    });
    return stdout;
  } catch (error) {
    // There is none, or not one that its owner can read.
    if (error instanceof CommandFailedError) return firstConfig;
    throw error;
  }
}

async function placeUnits(
  { record, legacyIptables }: InstallPlan,
  { commands, signal, onStep }: SystemContext,
): Promise<void> {
  const systemctl = new Systemctl(commands, signal);
  const units = renderUnits({
    owner: record.owner.name,
    legacyIptables,
    jailer: record.vmm.jailer !== undefined,
  });
  for (const [name, text] of Object.entries(units)) {
    const file = join(systemLayout.unitDirectory, name);
    onStep(`unit ${file}`);
    await writeRootFile(file, text);
  }
  onStep("systemctl daemon-reload, enable");
  await systemctl.run("daemon-reload");
  await systemctl.run("enable", ...unitNames);
}

/** Earlier ones, and what an install that was cut short has left: nothing of them runs any more. */
async function removeOtherPrograms(
  { program }: InstallRecord,
  { onStep }: SystemContext,
): Promise<void> {
  const { programsDirectory } = systemLayout;
  for (const name of await namesIn(programsDirectory)) {
    if (!name.startsWith("program-") || name === program) continue;
    const path = join(programsDirectory, name);
    onStep(`remove ${path}`);
    await rm(path, { recursive: true, force: true });
  }
}
