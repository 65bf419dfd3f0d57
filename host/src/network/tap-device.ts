import type { CommandRunner, VmId } from "@banger/core";
import { IpCommand } from "./ip-command.js";
import { NetworkConflictError } from "./network-errors.js";

/** The TAP device of a VM: its id's first eight digits, as IFNAMSIZ leaves 15 characters. Pure. */
export function tapDeviceName(id: VmId): string {
  return `tap-fc-${id.slice(0, 8)}`;
}

/** Has this device a name that only we give? Pure. */
export function isTapDeviceName(name: string): boolean {
  return /^tap-fc-[0-9a-f]{8}$/.test(name);
}

/** TAP devices, each a port of the bridge. */
export class TapDevices {
  readonly #ip: IpCommand;

  constructor(commands: CommandRunner) {
    this.#ip = new IpCommand(commands);
  }

  /**
   * A TAP device that this user may open. Idempotent: one that is there is kept. It is not up yet.
   * @throws {@link NetworkConflictError} when the name belongs to a device of another kind, or of another bridge
   */
  async ensure(
    name: string,
    { owner, bridge }: { readonly owner: number; readonly bridge: string },
    signal: AbortSignal,
  ): Promise<void> {
    const before = await this.#ip.device(name, signal);
    if (!before) {
      const args = ["tuntap", "add", "dev", name, "mode", "tap"];
      return this.#ip.run([...args, "user", String(owner)], signal);
    }
    const isTap = before.kind === "tun" && before.tunType === "tap";
    const isOurs = isTap && (before.master ?? bridge) === bridge;
    if (isOurs) return;
    throw new NetworkConflictError(
      `there is a device ${name} already, and it is no TAP device of the bridge ${bridge}`,
      { hint: `See what it is: ip -details link show ${name}` },
    );
  }

  /** Joins it to the bridge and sets it up. Idempotent. */
  async join(name: string, bridge: string, signal: AbortSignal): Promise<void> {
    const args = ["link", "set", "dev", name, "master", bridge, "up"];
    await this.#ip.run(args, signal);
  }

  /** Idempotent. */
  async remove(name: string): Promise<void> {
    if (!(await this.#ip.device(name))) return;
    await this.#ip.run(["link", "delete", "dev", name]);
  }
}
