import type { VmHandles, VmRecord } from "../model/vm.js";

/** What is true of a VM that runs: its VMM's process, and the names of this run that its record says. Pure. */
export function handlesOf(
  { runtime }: VmRecord,
  { pid, pidStartTicks }: VmHandles,
): VmHandles {
  const { tapDevice, baseLoop, cowLoop, dmName, dmDevice } = runtime;
  return {
    pid,
    pidStartTicks,
    ...(tapDevice === undefined ? {} : { tapDevice }),
    ...(baseLoop === undefined ? {} : { baseLoop }),
    ...(cowLoop === undefined ? {} : { cowLoop }),
    ...(dmName === undefined ? {} : { dmName }),
    ...(dmDevice === undefined ? {} : { dmDevice }),
  };
}
