import type { Stats } from "node:fs";
import { lstat, readFile, realpath } from "node:fs/promises";
import { join } from "node:path";
import type { Check, Privileged } from "@banger/core";
import { hasErrorCode } from "../files/error-code.js";
import {
  NotRootOwnedError,
  requireRootOwnedTree,
} from "../files/root-owned.js";
import type { InstallRecord } from "../system/install-record.js";
import { systemLayout } from "../system/layout.js";

/** Whose something is, and what others may do with it: the promises of docs/privileges.md. */
interface Promised {
  readonly path: string;
  readonly kind: "directory" | "file" | "socket";
  readonly owner: "root" | "owner";
  /** permission bits, exactly */
  readonly mode: number;
}

export interface PrivilegeCheckDeps {
  readonly privileged: Privileged;
  /** `undefined` when this daemon is not that of the system install */
  readonly install: () => Promise<InstallRecord | undefined>;
  /** of this process; default: as the kernel says */
  readonly uid?: number;
  /** in front of every path, for tests */
  readonly root?: string;
}

/** Does the live system look as docs/privileges.md promises? Reads only; fails with everything that does not, at most ten lines. */
export async function privilegeCheck(deps: PrivilegeCheckDeps): Promise<Check> {
  const check = { id: "host.privileges", title: "privileges" };
  const { kind } = deps.privileged;
  if (kind === "in-process")
    return {
      ...check,
      status: "pass",
      detail:
        "this daemon is root and does what needs root itself; sudo banger system install separates the two",
    };
  if (kind === "none")
    return {
      ...check,
      status: "pass",
      detail:
        "nothing runs as root; bridge networking and jails need the root helper: sudo banger system install",
    };
  const install = await deps.install();
  const broken = install
    ? await brokenPromises(install, deps)
    : [`${systemLayout.recordFile} is gone`];
  const problem = await deps.privileged.problem();
  if (problem) broken.push(problem.message);
  if (broken.length === 0)
    return {
      ...check,
      status: "pass",
      detail: `the helper answers, and ${String(promisedOf().length)} paths, the program and this process are as docs/privileges.md says`,
    };
  const shown = broken.slice(0, 10);
  const rest = broken.length - shown.length;
  return {
    ...check,
    status: "fail",
    detail: [...shown, ...(rest > 0 ? [`and ${String(rest)} more`] : [])].join(
      "; ",
    ),
    fix: problem?.hint ?? "sudo banger system install",
  };
}

function promisedOf(): readonly Promised[] {
  const root = (path: string, mode: number): Promised => ({
    ...{ path, mode },
    kind: "directory",
    owner: "root",
  });
  const own = (path: string): Promised => ({
    path,
    kind: "directory",
    owner: "owner",
    mode: 0o700,
  });
  return [
    root(systemLayout.recordDirectory, 0o755),
    {
      path: systemLayout.recordFile,
      kind: "file",
      owner: "root",
      mode: 0o644,
    },
    root(systemLayout.programsDirectory, 0o755),
    root(systemLayout.dataDirectory, 0o755),
    own(systemLayout.configDirectory),
    own(systemLayout.stateDirectory),
    root(systemLayout.jailDirectory, 0o711),
    own(systemLayout.cacheDirectory),
    own(systemLayout.runDirectory),
    root(systemLayout.helperDirectory, 0o711),
    {
      path: systemLayout.helperSocket,
      kind: "socket",
      owner: "owner",
      mode: 0o600,
    },
  ];
}

async function brokenPromises(
  install: InstallRecord,
  { uid = process.getuid?.() ?? 0, root = "/" }: PrivilegeCheckDeps,
): Promise<string[]> {
  const broken: string[] = [];
  if (uid !== install.owner.uid)
    broken.push(
      `this daemon runs as uid ${String(uid)}, not as ${install.owner.name}`,
    );
  for (const promised of promisedOf()) {
    const found = await statsOf(join(root, promised.path));
    const line = found
      ? describeDifference(promised, found, install)
      : "is not there";
    if (line !== undefined) broken.push(`${promised.path} ${line}`);
  }
  broken.push(...(await changeableByOthers(root)));
  if (await hasCapabilities(uid))
    broken.push("this daemon has capabilities, although it needs none");
  return broken;
}

function describeDifference(
  { kind, owner, mode }: Promised,
  found: Stats,
  install: InstallRecord,
): string | undefined {
  const isKind = {
    directory: found.isDirectory(),
    file: found.isFile(),
    socket: found.isSocket(),
  }[kind];
  if (!isKind) return `is no ${kind}`;
  const uid = owner === "root" ? 0 : install.owner.uid;
  if (found.uid !== uid)
    return `belongs to uid ${String(found.uid)} and not to ${String(uid)}`;
  const bits = found.mode & 0o7777;
  if (bits !== mode)
    return `has the mode ${bits.toString(8)} and not ${mode.toString(8)}`;
  return undefined;
}

/** What of the program that root runs somebody else could change, the first thing found. */
async function changeableByOthers(root: string): Promise<readonly string[]> {
  const link = join(root, systemLayout.currentProgram);
  try {
    await requireRootOwnedTree(await realpath(link));
    return [];
  } catch (error) {
    if (error instanceof NotRootOwnedError) return [error.message];
    if (hasErrorCode(error, "ENOENT", "ENOTDIR", "EACCES"))
      return [`${systemLayout.currentProgram} leads nowhere`];
    throw error;
  }
}

/** @see proc(5), /proc/pid/status: CapEff and CapPrm */
async function hasCapabilities(uid: number): Promise<boolean> {
  // Of another process's user nothing is promised here.
  if (uid !== process.getuid?.()) return false;
  const status = await readFile("/proc/self/status", "utf8");
  return [...status.matchAll(/^Cap(?:Eff|Prm|Amb):\s*([0-9a-f]+)$/gm)].some(
    ([, bits]) => BigInt(`0x${bits ?? "0"}`) !== 0n,
  );
}

async function statsOf(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    if (hasErrorCode(error, "ENOENT", "ENOTDIR", "EACCES")) return undefined;
    throw error;
  }
}
