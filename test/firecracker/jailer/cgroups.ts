import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { JailError, step } from "./jail-error.js";

/** A file of a cgroup and what is to be in it. */
export interface CgroupSetting {
  readonly version: 1 | 2;
  /** where the hierarchy is mounted */
  readonly mount: string;
  readonly directory: string;
  readonly file: string;
  readonly value: string;
}

/**
 * What `--cgroup`, `--cgroup-version` and `--parent-cgroup` ask for.
 * @returns `join`: a directory of cgroup v2 that the process is to be in although nothing is set
 * @throws JailError when the host has no such hierarchy
 */
export function cgroupSettings(asked: {
  readonly id: string;
  readonly version: string;
  readonly parent: string;
  readonly settings: readonly string[];
}): { cgroups: readonly CgroupSetting[]; join: string | undefined } {
  const { id, parent, settings } = asked;
  if (/^\/|(^|\/)\.{1,2}(\/|$)/.test(parent))
    throw new JailError(
      "Parent cgroup path is invalid. Path should not be absolute or contain '..' or '.'",
    );
  if (!/^\d+$/.test(asked.version))
    throw new JailError(
      `${asked.version} is an invalid cgroup version specifier`,
    );
  const version = Number(asked.version);
  if (settings.length === 0 && version !== 2)
    return { cgroups: [], join: undefined };
  if (version !== 1 && version !== 2)
    throw new JailError(
      `${asked.version} is an invalid cgroup version specifier`,
    );
  const mounts = cgroupMounts(version);
  if (mounts.length === 0)
    throw new JailError(
      "Hierarchy not found: No hierarchy found for this cgroup version.",
    );
  if (settings.length === 0) {
    const joined = join(mounts[0]?.directory ?? "", parent);
    return { cgroups: [], join: existsSync(joined) ? joined : undefined };
  }
  const cgroups = settings.map((setting): CgroupSetting => {
    const [file = "", value = "", ...more] = setting.split("=");
    if (value === "" || more.length > 0)
      throw new JailError(`Invalid format for cgroups: ${setting}`);
    if (/^\/|(^|\/)\.{1,2}(\/|$)/.test(file))
      throw new JailError(`Cgroup invalid file: ${setting}`);
    const controller = file.split(".")[0] ?? "";
    const mount = mounts.find(
      ({ controllers }) => version === 2 || controllers.includes(controller),
    )?.directory;
    if (mount === undefined || !hasController(version, mount, controller))
      throw new JailError(`Controller ${controller} is unavailable`);
    return {
      ...{ version, mount, file, value },
      directory: join(mount, parent, id),
    };
  });
  return { cgroups, join: undefined };
}

/** Makes the directories, writes the values, then moves the process. @throws JailError */
export function applyCgroups(
  cgroups: readonly CgroupSetting[],
  joined: string | undefined,
  pid: number,
): void {
  const write = (file: string, value: string): void =>
    step(`Failed to write to ${file}`, () => {
      writeFileSync(file, `${value}\n`);
    });
  for (const { version, mount, directory, file, value } of cgroups) {
    step(`Failed to create directory ${directory}`, () =>
      mkdirSync(directory, { recursive: true }),
    );
    if (version === 2)
      for (const above of parents(mount, directory))
        write(
          join(above, "cgroup.subtree_control"),
          `+${file.split(".")[0] ?? ""}`,
        );
    write(join(directory, file), value);
  }
  for (const { version, directory } of cgroups)
    write(
      join(directory, version === 2 ? "cgroup.procs" : "tasks"),
      String(pid),
    );
  if (joined !== undefined) write(join(joined, "cgroup.procs"), String(pid));
}

/** Directories above one, from the hierarchy's root on. */
function parents(mount: string, directory: string): string[] {
  const above: string[] = [];
  for (let at = dirname(directory); at.length >= mount.length; at = dirname(at))
    above.unshift(at);
  return above;
}

interface CgroupMount {
  readonly directory: string;
  readonly controllers: readonly string[];
}

function cgroupMounts(version: 1 | 2): CgroupMount[] {
  return readFileSync("/proc/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" "))
    .filter(([, , type]) => type === (version === 2 ? "cgroup2" : "cgroup"))
    .map(([, directory = "", , options = ""]) => ({
      directory,
      controllers: options.split(","),
    }));
}

function hasController(
  version: 1 | 2,
  mount: string,
  controller: string,
): boolean {
  if (version === 1) return true;
  const list = join(mount, "cgroup.controllers");
  return (
    existsSync(list) &&
    readFileSync(list, "utf8").trim().split(/\s+/).includes(controller)
  );
}
