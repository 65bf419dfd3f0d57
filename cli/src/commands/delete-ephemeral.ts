import { isBangerError, type VmRecord } from "@banger/core/client";
import type { Cli } from "./command.js";

/** Deletes a VM at the end of its command, also after an interruption. One that is gone already is fine. */
export async function deleteEphemeral(
  { client }: Cli,
  vm: VmRecord,
): Promise<void> {
  try {
    await client.operation("DELETE", `/v1/vms/${vm.id}`);
  } catch (error) {
    if (!isBangerError(error) || error.code !== "ERR_VM_NOT_FOUND") throw error;
  }
}
