import { readdirSync, realpathSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import {
  instanceIdProblem,
  parseArguments,
  type Arguments,
} from "../server/arguments.js";
import { cgroupSettings, type CgroupSetting } from "./cgroups.js";
import { JailError, step } from "./jail-error.js";

/** What the jailer was asked for, checked. */
export interface JailRequest {
  readonly id: string;
  readonly uid: number;
  readonly gid: number;
  readonly execFile: string;
  readonly execName: string;
  /** path of the jail, which the server sees as `/` */
  readonly root: string;
  readonly networkNamespace?: string;
  readonly cgroups: readonly CgroupSetting[];
  /** directory of a cgroup v2 to join although nothing is set in it */
  readonly joinCgroup?: string;
  /** options of prlimit(1) */
  readonly limits: readonly string[];
  /** arguments of the server */
  readonly rest: readonly string[];
}

/** @throws ArgumentError */
export function parseJailerArguments(words: readonly string[]): Arguments {
  const value = { takesValue: true } as const;
  const needed = { takesValue: true, required: true } as const;
  return parseArguments(words, {
    ...{ id: needed, "exec-file": needed, uid: needed, gid: needed },
    "chroot-base-dir": { takesValue: true, default: "/srv/jailer" },
    netns: value,
    daemonize: {},
    "new-pid-ns": {},
    cgroup: { takesValue: true, many: true },
    "resource-limit": { takesValue: true, many: true },
    "cgroup-version": { takesValue: true, default: "1" },
    "parent-cgroup": value,
  });
}

/** @throws JailError */
export function checkJailRequest(given: Arguments): JailRequest {
  for (const name of ["daemonize", "new-pid-ns"])
    if (given.has(name))
      throw new JailError(`--${name} is not served by the contract jailer`);
  const id = given.value("id") ?? "";
  const problem = instanceIdProblem(id);
  if (problem !== undefined)
    throw new JailError(`Invalid instance ID: ${problem}`);
  const execFile = canonical(given.value("exec-file") ?? "");
  if (!statSync(execFile).isFile())
    throw new JailError(`${execFile} is not a file`);
  const execName = basename(execFile);
  if (!execName.includes("firecracker"))
    throw new JailError(
      `Invalid filename. The filename of \`--exec-file\` option must contain "firecracker": ${execName}`,
    );
  const base = canonical(given.value("chroot-base-dir") ?? "");
  if (!statSync(base).isDirectory())
    throw new JailError(`${base} is not a directory`);
  const networkNamespace = given.value("netns");
  if (networkNamespace !== undefined)
    step(`Failed to open file ${networkNamespace}`, () =>
      statSync(networkNamespace),
    );
  const uid = userNumber("uid", given.value("uid"));
  const gid = userNumber("gid", given.value("gid"));
  const { cgroups, join: joinCgroup } = cgroupSettings({
    id,
    version: given.value("cgroup-version") ?? "",
    parent: given.value("parent-cgroup") ?? execName,
    settings: given.values("cgroup"),
  });
  return {
    ...{ id, uid, gid, execFile, execName, cgroups },
    root: join(base, execName, id, "root"),
    ...(networkNamespace === undefined ? {} : { networkNamespace }),
    ...(joinCgroup === undefined ? {} : { joinCgroup }),
    limits: limitOptions(given.values("resource-limit")),
    rest: given.rest,
  };
}

function canonical(path: string): string {
  return step(`Failed to canonicalize path ${path}`, () => realpathSync(path));
}

function userNumber(name: "uid" | "gid", text = ""): number {
  if (!/^\d+$/.test(text) || Number(text) > 0xffff_ffff)
    throw new JailError(`Invalid ${name}: ${text}`);
  return Number(text);
}

/** Of the server's open files, unless said otherwise. */
const defaultOpenFiles = 2048;

function limitOptions(limits: readonly string[]): string[] {
  const options = new Map([["nofile", String(defaultOpenFiles)]]);
  for (const limit of limits) {
    const [, name, value] = /^([^=]*)=(.*)$/.exec(limit) ?? [];
    if (name === undefined || value === undefined)
      throw new JailError(`Invalid format for resources limits: ${limit}`);
    if (!/^\d+$/.test(value))
      throw new JailError(
        `Invalid limit value for resource: ${value}: invalid digit found in string`,
      );
    if (name === "fsize") options.set("fsize", value);
    else if (name === "no-file") options.set("nofile", value);
    else throw new JailError(`Invalid resource argument: ${name}`);
  }
  return [...options].map(([name, value]) => `--${name}=${value}:${value}`);
}

/** Top-level links that lead into /usr, such as `lib64 -> usr/lib64`. */
export function usrLinks(): readonly string[] {
  return readdirSync("/", { withFileTypes: true })
    .filter((entry) => entry.isSymbolicLink())
    .map(({ name }) => name)
    .filter((name) => realpathSync(`/${name}`).startsWith("/usr/"));
}
