import type { CommandRunner, VmId } from "@banger/core";
import { IpCommand, type NetworkDevice } from "./ip-command.js";
import { NetworkConflictError } from "./network-errors.js";

/** The TAP device of a VM: its id's first eight digits, as IFNAMSIZ leaves 15 characters. Pure. */
export function tapDeviceName(id: VmId): string {
  return `tap-fc-${id.slice(0, 8)}`;
}

/** Has this device a name that only we give? Pure. */
export function isTapDeviceName(name: string): boolean {
  return /^tap-fc-[0-9a-f]{8}$/.test(name);
}

/** The TAP device that a VM should have. */
export interface TapDevice {
  readonly name: string;
  /** of its VM: the device carries it whole, as its alias */
  readonly id: VmId;
  /** uid that may open it */
  readonly owner: () => Promise<number>;
}

/**
 * TAP devices, each a port of the bridge. A device is ours when it is a TAP device whose alias is `banger-` and the id of its VM; the
 * name alone says nothing.
 */
export class TapDevices {
  readonly #commands: CommandRunner;
  readonly #ip: IpCommand;

  constructor(commands: CommandRunner) {
    this.#commands = commands;
    this.#ip = new IpCommand(commands);
  }

  /**
   * A TAP device that this user may open. Idempotent: one that is there is kept, unless another user owns it and nobody has it open. It
   * is not up yet when it is new.
   * @throws {@link NetworkConflictError} when the name belongs to a device of somebody else, or of another bridge
   */
  async ensure(
    tap: TapDevice,
    bridge: string,
    signal: AbortSignal,
  ): Promise<void> {
    const { name } = tap;
    const before = await this.#ip.device(name, signal);
    if (!before) return this.#make(tap, signal);
    const isOurs = await this.#isOurs(tap, before, signal);
    if (!isOurs || (before.master ?? bridge) !== bridge)
      throw new NetworkConflictError(
        `there is a device ${name} already, and it is not the TAP device of this VM on the bridge ${bridge}`,
        { hint: `See what it is: ip -details link show ${name}` },
      );
    const isKept =
      before.hasCarrier ||
      (before.alias !== undefined &&
        (await this.#isOwner(tap, before, signal)));
    if (isKept) return;
    await this.#ip.run(["link", "delete", "dev", name], signal);
    await this.#make(tap, signal);
  }

  /** Joins it to the bridge and sets it up. Idempotent. */
  async join(name: string, bridge: string, signal: AbortSignal): Promise<void> {
    const args = ["link", "set", "dev", name, "master", bridge, "up"];
    await this.#ip.run(args, signal);
  }

  /**
   * Idempotent. What is not ours is left alone.
   * @returns is the name free now?
   */
  async remove(tap: TapDevice): Promise<boolean> {
    const device = await this.#ip.device(tap.name);
    if (!device) return true;
    if (!(await this.#isOurs(tap, device))) return false;
    await this.#ip.run(["link", "delete", "dev", tap.name]);
    return true;
  }

  async #make(tap: TapDevice, signal: AbortSignal): Promise<void> {
    const { name, id } = tap;
    const owner = String(await tap.owner());
    await this.#ip.batch(
      [
        `tuntap add dev ${name} mode tap user ${owner}`,
        `link set dev ${name} alias ${aliasOf(id)}`,
      ],
      signal,
    );
  }

  async #isOurs(
    tap: TapDevice,
    device: NetworkDevice,
    signal?: AbortSignal,
  ): Promise<boolean> {
    const { kind, tunType, alias, master, hasCarrier } = device;
    if (kind !== "tun" || tunType !== "tap") return false;
    if (alias !== undefined) return alias === aliasOf(tap.id);
    // Whoever ended between the two lines that make it has left this.
    const isUnused = master === undefined && !hasCarrier;
    return isUnused && this.#isOwner(tap, device, signal);
  }

  async #isOwner(
    tap: TapDevice,
    { user }: NetworkDevice,
    signal?: AbortSignal,
  ): Promise<boolean> {
    if (user === undefined) return false;
    return (await this.#uidOf(user, signal)) === (await tap.owner());
  }

  /** `ip` prints the name of a user that has one, even when asked for numbers. */
  async #uidOf(user: string, signal?: AbortSignal): Promise<number> {
    if (/^[0-9]+$/.test(user)) return Number(user);
    const { stdout } = await this.#commands.run({
      file: "id",
      args: ["-u", "--", user],
      timeoutMs: 10_000,
      ...(signal === undefined ? {} : { signal }),
    });
    return Number(stdout);
  }
}

function aliasOf(id: VmId): string {
  return `banger-${id}`;
}
