import { constants } from "node:fs";
import { open, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import {
  JoinedError,
  type VmFiles,
  type VmId,
  type VmRecord,
} from "@banger/core";
import { freeBytesAt, orDiskFull } from "./disk-full.js";
import { hasErrorCode } from "./error-code.js";
import { vmDirectory, vmRunDirectory, type Paths } from "../paths.js";
import { consoleLines } from "./console-text.js";
import { diskUsage } from "./disk-usage.js";
import { ensureRunDirectory, makeDirectory } from "./private-directories.js";

/** Names of files in a VM's directory. */
export const vmFileNames = {
  /** written for each start, gone after it */
  bootInitrd: "boot.initrd",
  /** `bootInitrd` while it is written */
  unfinishedInitrd: "boot.initrd.new",
  /** what the guest wrote on its serial console */
  consoleLog: "console.log",
  /** what Firecracker logs */
  firecrackerLog: "firecracker.log",
  /** counters of Firecracker since the lines before, a line of JSON each */
  firecrackerMetrics: "firecracker.metrics",
  /** sums over lines of `firecrackerMetrics` that may be gone */
  firecrackerTotals: "firecracker-totals.json",
  handles: "handles.json",
  /** what the VMM itself said on its output */
  vmmLog: "vmm.log",
} as const;

/** How much of the console's end is read, bytes. */
const consoleTailBytes = 64 * 1024;

/** The directories of VMs on a local file system. */
export class LocalVmFiles implements VmFiles {
  readonly #paths: Paths;

  constructor({ paths }: { readonly paths: Paths }) {
    this.#paths = paths;
  }

  directories(id: VmId): { directory: string; runDirectory: string } {
    return {
      directory: vmDirectory(this.#paths, id),
      runDirectory: vmRunDirectory(this.#paths, id),
    };
  }

  async ensure(vm: VmRecord): Promise<void> {
    const { directory, runDirectory } = ownDirectories(vm);
    await orDiskFull(`making the directories of ${vm.name}`, async () => {
      await ensureRunDirectory(this.#paths);
      for (const path of [directory, runDirectory]) await makeDirectory(path);
    });
  }

  async removeRun(vm: VmRecord): Promise<void> {
    const { directory, runDirectory } = ownDirectories(vm);
    await removeEach(vm, [
      runDirectory,
      ...[
        vmFileNames.bootInitrd,
        vmFileNames.unfinishedInitrd,
        vmFileNames.firecrackerMetrics,
        vmFileNames.firecrackerTotals,
      ].map((name) => join(directory, name)),
    ]);
  }

  async removeAll(vm: VmRecord): Promise<void> {
    const { directory, runDirectory } = ownDirectories(vm);
    await removeEach(vm, [runDirectory, directory]);
  }

  async consoleTail(vm: VmRecord, lines: number): Promise<readonly string[]> {
    const file = join(vm.runtime.directory, vmFileNames.consoleLog);
    const text = await readTail(file, consoleTailBytes);
    return lines > 0 ? consoleLines(text).slice(-lines) : [];
  }

  usedBytes(vm: VmRecord): Promise<number> {
    return diskUsage(vm.runtime.directory);
  }

  async freeBytes(): Promise<number> {
    return freeBytesAt(this.#paths.stateDirectory);
  }
}

/** The directories that a record names. A damaged record must never make us remove anything but a directory named by the VM's id. */
function ownDirectories(vm: VmRecord): VmRecord["runtime"] {
  for (const path of [vm.runtime.directory, vm.runtime.runDirectory]) {
    if (basename(path) !== vm.id) {
      throw new Error(`${path} is no directory of the VM ${vm.id}`);
    }
  }
  return vm.runtime;
}

/** Tries all, then throws what failed. `rm` removes a symbolic link itself and never what it points to. */
async function removeEach(
  vm: VmRecord,
  paths: readonly string[],
): Promise<void> {
  const failures: unknown[] = [];
  for (const path of paths) {
    await rm(path, { recursive: true, force: true }).catch((error: unknown) =>
      failures.push(error),
    );
  }
  if (failures.length > 0)
    throw new JoinedError(`files of ${vm.name} are left`, failures);
}

/** The last bytes of a file as text, without the line that the cut went through; empty when there is no file. */
async function readTail(file: string, limit: number): Promise<string> {
  const handle = await open(
    file,
    // A guest cannot make this file, but a pipe in its place must not block the daemon.
    constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK,
  ).catch((error: unknown) => {
    if (hasErrorCode(error, "ENOENT")) return undefined;
    throw error;
  });
  if (!handle) return "";
  try {
    const { size } = await handle.stat();
    const from = Math.max(0, size - limit);
    const buffer = Buffer.alloc(Math.min(size, limit));
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, from);
    const text = buffer.toString("utf8", 0, bytesRead);
    const firstBreak = text.search(/[\r\n]/u);
    // One endless line is still better shown than nothing.
    return from > 0 && firstBreak >= 0 ? text.slice(firstBreak) : text;
  } finally {
    await handle.close();
  }
}
