import { lstat, readdir, readFile, readlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { randomBytes } from "node:crypto";
import { CommandFailedError, type CommandRunner } from "@banger/core";
import { hasErrorCode } from "../files/error-code.js";
import { UnsafeDirectoryError } from "../files/private-directories.js";
import { findAccount, type Account } from "./accounts.js";
import { runAsOwner } from "./as-owner.js";
import { readInstallRecord, type InstallRecord } from "./install-record.js";
import { programFiles, systemLayout } from "./layout.js";
import {
  findPackage,
  findPackages,
  type ProgramPackage,
} from "./program-packages.js";
import {
  ForeignFileError,
  OtherOwnerError,
  OwnerInvalidError,
  ProgramIncompleteError,
} from "./system-errors.js";
import { hasSystemd } from "./systemctl.js";
import { untrustedPart } from "./trusted-path.js";
import { unitMark, unitNames } from "./units.js";

/** What is asked for. */
export interface InstallRequest {
  /** account name of the owner */
  readonly owner: string | undefined;
  /** packages of others in {@link systemLayout.pluginsDirectory} whose requests the helper is to carry out, beside those it has */
  readonly plugins: readonly string[];
  /** the package of the command line that is to be copied, with what it needs */
  readonly packageDirectory: string;
  readonly version: string;
  readonly build: string;
  /** the Node.js that is to run it */
  readonly node: string;
}

/** What an install will do; nothing is done yet. */
export interface InstallPlan {
  readonly record: InstallRecord;
  /** what is there */
  readonly previous: InstallRecord | undefined;
  readonly packages: ReadonlyMap<string, ProgramPackage>;
  readonly node: string;
  /** somebody else but root can change the Node.js that is used, so it is copied */
  readonly copiesNode: boolean;
  readonly legacyIptables: boolean;
  /** VMs of the owner's own install, which are out of sight afterwards */
  readonly userVms: number;
}

/** Directories that hold ours and may not be there. */
const parents = [
  ...["/usr/local", "/usr/local/lib", "/usr/local/bin"],
  ...["/var/lib", "/var/cache"],
];

/**
 * Looks at host and owner, and decides what an install makes.
 * @throws OwnerInvalidError, OtherOwnerError, ForeignFileError, ProgramIncompleteError, InstallRecordError
 */
export async function planInstall(
  request: InstallRequest,
  commands: CommandRunner,
  signal: AbortSignal,
): Promise<InstallPlan> {
  const owner = await ownerOf(request.owner, commands, signal);
  const previous = await readInstallRecord();
  if (previous && previous.owner.uid !== owner.uid)
    throw new OtherOwnerError(
      `this host's system install is that of ${previous.owner.name}`,
    );
  await refuseUnsafePlace();
  const service = (await hasSystemd()) ? "systemd" : "none";
  await refuseForeignFiles(previous !== undefined);
  await refuseForeignData(owner);
  const packages = await findPackages(request.packageDirectory);
  const record: InstallRecord = {
    format: 1,
    owner,
    version: request.version,
    build: request.build,
    program: `program-${request.build}-${randomBytes(4).toString("hex")}`,
    installedAt: new Date().toISOString(),
    service,
    plugins: [
      ...[...packages.values()].flatMap(({ isPlugin, name }) =>
        isPlugin ? [name] : [],
      ),
      ...(await addedPlugins(request.plugins, packages, previous)),
    ],
    vmm: await findVmms(commands),
    parents: previous?.parents ?? (await absentOf(parents)),
  };
  return {
    ...{ record, previous, packages },
    node: request.node,
    copiesNode: (await untrustedPart(request.node)) !== undefined,
    legacyIptables: await isIptablesLegacy(commands, signal),
    userVms: await countUserVms(owner, commands, signal),
  };
}

async function ownerOf(
  name: string | undefined,
  commands: CommandRunner,
  signal: AbortSignal,
): Promise<Account> {
  if (name === undefined)
    throw new OwnerInvalidError("it is not known whose install this is to be");
  const account = await findAccount(commands, name, signal);
  if (account === undefined)
    throw new OwnerInvalidError(`there is no user ${name}`);
  if (account.uid === 0)
    throw new OwnerInvalidError(
      "root cannot be the owner: the daemon is to run without root's rights",
    );
  return account;
}

/** Root's programs must not be where others can exchange them. @throws UnsafeDirectoryError */
async function refuseUnsafePlace(): Promise<void> {
  let place = dirname(systemLayout.programsDirectory);
  while (!(await isThere(place))) place = dirname(place);
  const part = await untrustedPart(place);
  if (part !== undefined)
    throw new UnsafeDirectoryError(
      part,
      "would hold root's programs, and others than root may write it",
      `Close it: sudo chown root:root ${part}; sudo chmod go-w ${part}`,
    );
}

/** @throws {@link ForeignFileError} */
async function refuseForeignFiles(isInstalled: boolean): Promise<void> {
  const { command, unitDirectory, programsDirectory } = systemLayout;
  const found: string[] = [];
  if (await isForeignCommand(command))
    found.push(`${command} is not a link to banger`);
  for (const unit of unitNames) {
    const file = join(unitDirectory, unit);
    if (await isForeignUnit(file)) found.push(`${file} is another unit`);
  }
  if (!isInstalled && (await isThere(programsDirectory)))
    found.push(`${programsDirectory} is there, and no record of an install`);
  if (found.length > 0) throw new ForeignFileError(found);
}

/** @returns true for anything but our link; our link of an install that was half removed is none */
export async function isForeignCommand(command: string): Promise<boolean> {
  try {
    return (await readlink(command)) !== commandTarget;
  } catch (error) {
    if (hasErrorCode(error, "ENOENT", "ENOTDIR")) return false;
    if (hasErrorCode(error, "EINVAL")) return true;
    throw error;
  }
}

/** What {@link systemLayout.command} links to. */
export const commandTarget: string = join(
  systemLayout.currentProgram,
  programFiles.command,
);

/** Is there a unit that we did not make? */
export async function isForeignUnit(file: string): Promise<boolean> {
  try {
    return !(await readFile(file, "utf8")).startsWith(`${unitMark}\n`);
  } catch (error) {
    if (hasErrorCode(error, "ENOENT", "ENOTDIR")) return false;
    throw error;
  }
}

/** Data that an uninstall has left are taken up again, when they are the same owner's. */
async function refuseForeignData({ uid, name }: Account): Promise<void> {
  const { dataDirectory, stateDirectory, configDirectory, cacheDirectory } =
    systemLayout;
  const unknown = await foreignData();
  if (unknown.length > 0) throw new ForeignFileError(unknown);
  if (await isThere(dataDirectory)) {
    const { uid: dataUid } = await lstat(dataDirectory);
    if (dataUid !== 0)
      throw new ForeignFileError([`${dataDirectory} is not root's`]);
  }
  for (const path of [stateDirectory, configDirectory, cacheDirectory]) {
    if (!(await isThere(path))) continue;
    const found = await lstat(path);
    // Root's: an install was cut short before it gave it away.
    if (found.uid !== uid && found.uid !== 0)
      throw new OtherOwnerError(`${path} is not ${name}'s`);
  }
}

/** What is in the data directory and is none of ours. */
export async function foreignData(): Promise<readonly string[]> {
  const { dataDirectory } = systemLayout;
  const own = ["config", "config.new", "state", "jail"];
  return (await namesIn(dataDirectory)).flatMap((name) =>
    own.includes(name) ? [] : [`${join(dataDirectory, name)} is there`],
  );
}

/**
 * Packages of others: those named, and those of before that are still there. Only from a directory that root alone can write: their
 * code runs in the helper.
 */
async function addedPlugins(
  named: readonly string[],
  packages: ReadonlyMap<string, ProgramPackage>,
  previous: InstallRecord | undefined,
): Promise<readonly string[]> {
  const { pluginsDirectory } = systemLayout;
  const own = new Set([...packages.values()].map(({ name }) => name));
  const added: string[] = [];
  for (const name of new Set([...(previous?.plugins ?? []), ...named])) {
    if (own.has(name)) continue;
    const directory = await findPackage(name, pluginsDirectory);
    if (directory === undefined) {
      if (!named.includes(name)) continue;
      throw new ProgramIncompleteError(
        `${name} is not in ${pluginsDirectory}`,
        {
          hint: `Put it there first: sudo npm install --prefix ${pluginsDirectory} ${name}`,
        },
      );
    }
    const part = await untrustedPart(directory);
    if (part !== undefined)
      throw new ProgramIncompleteError(
        `${name} would run as root, and others than root can change ${part}`,
        { hint: `Give it to root: chown -R root:root ${part}` },
      );
    added.push(name);
  }
  return added;
}

/** VMMs that the helper may launch: only such that nobody but root can change. */
async function findVmms(
  commands: CommandRunner,
): Promise<InstallRecord["vmm"]> {
  const safe = async (program: string): Promise<string | undefined> => {
    const path = await commands.find(program);
    if (path === undefined) return undefined;
    return (await untrustedPart(path)) === undefined ? path : undefined;
  };
  const firecracker = await safe("firecracker");
  const jailer = await safe("jailer");
  return {
    ...(firecracker === undefined ? {} : { firecracker }),
    ...(jailer === undefined ? {} : { jailer }),
  };
}

async function isIptablesLegacy(
  commands: CommandRunner,
  signal: AbortSignal,
): Promise<boolean> {
  if ((await commands.find("iptables")) === undefined) return false;
  const { stdout } = await commands.run({
    file: "iptables",
    args: ["--version"],
    timeoutMs: 10_000,
    signal,
  });
  return !stdout.includes("nf_tables");
}

async function countUserVms(
  owner: Account,
  commands: CommandRunner,
  signal: AbortSignal,
): Promise<number> {
  const directory = join(owner.home, ".local/state/banger/vms");
  try {
    const { stdout } = await runAsOwner(commands, owner, {
      file: "ls",
      args: ["-1", "--", directory],
      timeoutMs: 30_000,
      signal,
    });
    return stdout.split("\n").filter((name) => /^[0-9a-f]{12}$/.test(name))
      .length;
  } catch (error) {
    // There is none, or it is not theirs to see.
    if (error instanceof CommandFailedError) return 0;
    throw error;
  }
}

async function absentOf(paths: readonly string[]): Promise<string[]> {
  const absent: string[] = [];
  for (const path of paths) if (!(await isThere(path))) absent.push(path);
  return absent;
}

/** Anything of this name, a dangling link too. */
export async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (hasErrorCode(error, "ENOENT", "ENOTDIR")) return false;
    throw error;
  }
}

/** Names in a directory; none when it is not there. */
export async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (hasErrorCode(error, "ENOENT", "ENOTDIR")) return [];
    throw error;
  }
}
