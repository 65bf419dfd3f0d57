import { readFileSync, writeFileSync } from "node:fs";
import { ApiFault } from "./api-fault.js";
import type { SnapshotLoad, VmConfiguration } from "./bodies.js";

/** What a snapshot's state file holds; the guest's own state is all in the memory file. */
export interface SavedState {
  readonly vm: VmConfiguration;
  readonly agentOpen: boolean;
}

export function writeSavedState(path: string, state: SavedState): void {
  writeFileSync(path, JSON.stringify(state));
}

/** @throws system errors, SyntaxError when it is no such file */
export function readSavedState(path: string): SavedState {
  return JSON.parse(readFileSync(path, "utf8")) as SavedState;
}

/** @throws ApiFault when none or two are named, or page faults are to be served */
export function memoryFile(load: SnapshotLoad): string {
  const { mem_file_path, mem_backend } = load;
  if (mem_file_path !== undefined && mem_backend)
    throw new ApiFault(
      "too many fields: either `mem_backend` or `mem_file_path` exclusively is required.",
    );
  if (mem_backend?.backend_type === "Uffd")
    throw new ApiFault(
      "Load snapshot error: page faults are not served by the contract server",
    );
  const path = mem_file_path ?? mem_backend?.backend_path;
  if (path === undefined)
    throw new ApiFault(
      "missing field: either `mem_backend` or `mem_file_path` is required",
    );
  return path;
}

/** The saved VM with the host's devices that are to be others now. Pure. */
export function overridden(
  vm: VmConfiguration,
  load: SnapshotLoad,
): VmConfiguration {
  const nics = vm.nics.map((nic) => ({
    ...nic,
    ...load.network_overrides?.find(
      ({ iface_id }) => iface_id === nic.iface_id,
    ),
  }));
  const vsock = vm.vsock && { ...vm.vsock, ...load.vsock_override };
  return { ...vm, nics, ...(vsock && { vsock }) };
}
