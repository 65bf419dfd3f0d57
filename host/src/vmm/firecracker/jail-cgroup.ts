import { readFile, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isVmId, type MachineConfig, type VmId } from "@banger/core";
import { hasErrorCode } from "../../files/error-code.js";
import { ForeignFileError } from "../../files/owned-file.js";
import { readProc } from "../proc-files.js";
import { jailedProgram } from "./jail-directory.js";

/** What a Firecracker needs beside its guest's memory: its own, and the kernel's for KVM, disks and network, MiB. */
const overheadMiB = 256;

/** Threads beside those of the vCPUs, and room for those that the kernel starts for a KVM. */
const otherThreads = 32;

/** Length of a scheduling period, µs: the kernel's own default. */
const periodUs = 100_000;

/** How often an emptied cgroup is looked at until the kernel has let go of its last process, and the pause in between, ms. */
const removalTries = 100;
const removalPauseMs = 10;

/**
 * Limits of a VM's process for the jailer, as `<file>=<value>`. Pure. One CPU more than the guest has: its devices run in threads of their
 * own.
 * @see Linux, Documentation/admin-guide/cgroup-v2.rst
 */
export function cgroupLimits({
  memoryMiB,
  vcpus,
}: Pick<MachineConfig, "memoryMiB" | "vcpus">): readonly string[] {
  const memoryBytes = (memoryMiB + overheadMiB) * 2 ** 20;
  return [
    `memory.max=${String(memoryBytes)}`,
    `pids.max=${String(vcpus + otherThreads)}`,
    `cpu.max=${String((vcpus + 1) * periodUs)} ${String(periodUs)}`,
  ];
}

/** Is cgroup v2 there, with all controllers that {@link cgroupLimits} needs? */
export async function hasCgroupLimits(root: string): Promise<boolean> {
  try {
    const text = await readFile(join(root, "cgroup.controllers"), "utf8");
    const controllers = text.trim().split(" ");
    return ["memory", "pids", "cpu"].every((controller) =>
      controllers.includes(controller),
    );
  } catch (error) {
    if (hasErrorCode(error, "ENOENT", "ENOTDIR")) return false;
    throw error;
  }
}

/**
 * Ends whatever still runs in the cgroup that the jailer made for a VM, and removes it. Idempotent. Every jailer's cgroups are in one place,
 * so the id alone does not say whose it is.
 * @param uids whom all in it run as; with somebody else's process in it nothing is ended
 * @throws Error for an id that is none: the cgroup would be that of others; ForeignFileError for one with a process of others
 */
export async function removeCgroup(
  root: string,
  id: VmId,
  uids: readonly number[],
): Promise<void> {
  if (!isVmId(id)) throw new Error(`${JSON.stringify(id)} is no id of a VM`);
  const cgroup = join(root, jailedProgram, id);
  await requireOwn(cgroup, uids);
  await endProcesses(cgroup);
  for (let tries = 1; ; tries += 1) {
    try {
      await rmdir(cgroup);
      return;
    } catch (error) {
      if (hasErrorCode(error, "ENOENT", "ENOTDIR")) return;
      if (!hasErrorCode(error, "EBUSY") || tries >= removalTries) throw error;
      await sleep(removalPauseMs);
    }
  }
}

async function requireOwn(
  cgroup: string,
  uids: readonly number[],
): Promise<void> {
  const pids = (await readProc(join(cgroup, "cgroup.procs"))) ?? "";
  for (const pid of pids.split("\n").filter((line) => line !== "")) {
    const status = await readProc(`/proc/${pid}/status`);
    const uid = /^Uid:\s+(\d+)/m.exec(status ?? "")?.[1];
    if (uid !== undefined && !uids.includes(Number(uid)))
      throw new ForeignFileError(cgroup, `has a process of uid ${uid}`);
  }
}

async function endProcesses(cgroup: string): Promise<void> {
  try {
    // Never creates it: a kernel before 5.14 has no such file.
    await writeFile(join(cgroup, "cgroup.kill"), "1", { flag: "r+" });
  } catch (error) {
    // ENODEV: it was removed since it was opened.
    if (!hasErrorCode(error, "ENOENT", "ENOTDIR", "ENODEV")) throw error;
  }
}
