import { availableParallelism, homedir, machine, totalmem } from "node:os";
import type { HostFacts } from "@banger/core";

/**
 * What this host is: CPUs that this process may use (its affinity counts), MemTotal of `/proc/meminfo`, the machine name of
 * `uname -m`, whether it runs as root, and HOME.
 */
export function readHostFacts(): HostFacts {
  return {
    cpus: availableParallelism(),
    memoryMiB: Math.floor(totalmem() / 2 ** 20),
    architecture: machine(),
    isRoot: process.getuid?.() === 0,
    homeDirectory: homedir(),
  };
}
