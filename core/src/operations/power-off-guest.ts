import type { GuestAgent, GuestSsh } from "../contracts/guest.js";
import type { VmmDrivers, VmmFeatures } from "../contracts/vmm.js";
import type { OperationContext } from "../lifecycle/operation.js";
import { withinLimit } from "../lifecycle/waiting.js";
import type { VmHandles, VmRecord } from "../model/vm.js";
import type { OperationSettings } from "./settings.js";

/** How long the agent may take to accept the request, ms: a dead one never answers. */
const agentLimitMs = 3_000;
/** How long it may take to end after that, ms. */
const agentGraceMs = 500;

/**
 * What ends the VMM of a guest. `--force` leaves out stopping services in order, which takes seconds; processes are ended and disks
 * unmounted all the same.
 * @see systemctl(1)
 */
const endScripts: Readonly<Record<VmmFeatures["endsOn"], string>> = {
  "power-off": "sync; exec systemctl poweroff --force",
  reboot: "sync; exec systemctl reboot --force",
};

/**
 * Asks a guest to write everything to disk and do what ends its VMM, through its agent or else over SSH, and waits for that end; all
 * of it within the configured limit. Never rejects for what the guest does: its VMM is ended after it anyway.
 */
export type PowerOffGuest = (
  vm: VmRecord,
  handles: VmHandles,
  operation: OperationContext,
) => Promise<void>;

export function createPowerOffGuest(deps: {
  guestAgent: GuestAgent;
  guestSsh: GuestSsh;
  vmmDrivers: VmmDrivers;
  settings: OperationSettings;
}): PowerOffGuest {
  const { guestAgent, guestSsh, vmmDrivers } = deps;
  const { stopTimeoutMs } = deps.settings;

  const overAgent = (vm: VmRecord, owner: AbortSignal): Promise<void> => {
    const what = `asking ${vm.name} to power off`;
    // Parts of the whole: SSH needs its time after them.
    const limitMs = Math.min(agentLimitMs, stopTimeoutMs / 3);
    const graceMs = Math.min(agentGraceMs, stopTimeoutMs / 10);
    return withinLimit({ what, limitMs, graceMs, owner }, (signal) =>
      guestAgent.powerOff(vm, signal),
    );
  };

  const overSsh = async (
    vm: VmRecord,
    signal: AbortSignal,
    { endsOn }: VmmFeatures,
  ): Promise<void> => {
    const argv = ["sh", "-c", endScripts[endsOn]];
    const command = await guestSsh.exec(vm, { argv, cwd: "/" }, signal);
    // Output that nobody reads would hold it.
    command.stdout.resume();
    command.stderr.resume();
    const { exitCode, signal: killed } = await command.exit;
    if (exitCode !== 0)
      throw new Error(`systemctl ended with ${String(exitCode ?? killed)}`);
  };

  return async (vm, handles, operation) => {
    const { driver } = vm.runtime;
    if (driver === undefined) return;
    const end = new AbortController();
    const timer = setTimeout(() => end.abort(), stopTimeoutMs);
    const { signal } = end;
    const vmm = vmmDrivers.get(driver);
    const exit = vmm.waitForExit(handles, signal);
    const ask = async (): Promise<boolean> => {
      for (const means of [overAgent, overSsh]) {
        try {
          await means(vm, signal, vmm.features);
          return true;
        } catch (error) {
          // Whoever powers off may end the connection before it has answered.
          if (signal.aborted) return true;
          operation.logger.warn("Guest could not be asked to power off", {
            means: means.name,
            error,
          });
        }
      }
      return false;
    };
    try {
      const accepted = await Promise.race([ask(), exit.then(() => true)]);
      if (accepted) await exit;
      const trouble = accepted
        ? "did not power off in time"
        : "cannot be asked to power off";
      if (!accepted || signal.aborted)
        operation.progress("stop", `warning: the guest ${trouble}`);
    } finally {
      clearTimeout(timer);
      end.abort();
    }
  };
}
