import { randomBytes } from "node:crypto";
import type { CommandRunner, Install, VmId } from "@banger/core";
import {
  IpCommand,
  type NamedDevice,
  type NetworkDevice,
} from "./ip-command.js";
import { NetworkConflictError } from "./network-errors.js";
import { installAlias, poolAlias, vmAlias } from "./tap-names.js";

/** The TAP device that a VM should have. */
export interface TapDevice {
  readonly name: string;
  readonly id: VmId;
  /** uid that may open it */
  readonly owner: number;
}

/** Whose a name is: nobody's, idle in this install's pool, this VM's, or of something that is not to be touched. */
export type TapHolder = "nobody" | "pool" | "vm" | "other";

/**
 * TAP devices of one install, each a port of a bridge. A device is a VM's when it is a TAP device whose alias is `banger-` and the VM's id
 * and which is on a bridge of the install, or on none and its user's; the name alone says nothing.
 */
export class TapDevices {
  readonly #install: Pick<Install, "owner" | "tag">;
  readonly #commands: CommandRunner;
  readonly #ip: IpCommand;

  constructor(
    install: Pick<Install, "owner" | "tag">,
    commands: CommandRunner,
  ) {
    this.#install = install;
    this.#commands = commands;
    this.#ip = new IpCommand(commands);
  }

  /**
   * A TAP device that this user may open. Idempotent: one that is there is kept, the VM's own or one of the pool, which becomes the VM's;
   * but not when another user owns it and nobody has it open. It is not up yet when it is new.
   * @param bridge one of this install
   * @param devices of the host, as they are
   * @throws {@link NetworkConflictError} when the name belongs to a device of somebody else, or of another bridge
   */
  async ensure(
    tap: TapDevice,
    bridge: string,
    devices: readonly NamedDevice[],
    signal: AbortSignal,
  ): Promise<void> {
    const { name, id, owner } = tap;
    const before = devices.find((device) => device.name === name);
    if (!before) return this.#make(tap, signal);
    const isPooled = this.#isPooled(before);
    const isUsable =
      (before.master ?? bridge) === bridge &&
      (isPooled || (await this.#isOf(tap, before, signal)));
    if (!isUsable)
      throw new NetworkConflictError(
        `there is a device ${name} already, and it is not the TAP device of this VM on the bridge ${bridge}`,
        { hint: `See what it is: ip -details link show ${name}` },
      );
    const isKept =
      before.hasCarrier ||
      (isPooled
        ? owner === this.#install.owner.uid
        : before.alias !== undefined &&
          (await this.#isOwnedBy([owner], before, signal)));
    if (!isKept) {
      await this.#ip.run(["link", "delete", "dev", name], signal);
      await this.#make(tap, signal);
    } else if (before.alias !== vmAlias(id)) {
      await this.#label(name, vmAlias(id), signal);
    }
  }

  /** Joins it to the bridge, apart from its other isolated ports if so wished, and sets it up. Idempotent. */
  async join(
    name: string,
    bridge: string,
    isolate: boolean,
    signal: AbortSignal,
  ): Promise<void> {
    await this.#ip.batch(
      [
        `link set dev ${name} master ${bridge}`,
        // Before it is up: there is no moment in which it reaches the others.
        `link set dev ${name} type bridge_slave isolated ${isolate ? "on" : "off"}`,
        `link set dev ${name} up`,
      ],
      signal,
    );
  }

  /**
   * Looks only.
   * @param devices of the host, as they are
   */
  async holder(
    tap: TapDevice,
    devices: readonly NamedDevice[],
  ): Promise<TapHolder> {
    const device = devices.find(({ name }) => name === tap.name);
    if (!device) return "nobody";
    if (this.#isPooled(device)) return "pool";
    const { master } = device;
    const bridge = devices.find(({ name }) => name === master);
    // Another install's VM may have this id, if it says so.
    const isElsewhere =
      master !== undefined && bridge?.alias !== installAlias(this.#install.tag);
    if (isElsewhere) return "other";
    return (await this.#isOf(tap, device)) ? "vm" : "other";
  }

  /** Does the device still belong to the install's owner? Whoever has it open may give it to somebody else. Looks only. */
  async isOwners(name: string): Promise<boolean> {
    const device = await this.#ip.device(name);
    return (
      device !== undefined && this.#isOwnedBy([this.#install.owner.uid], device)
    );
  }

  async remove(name: string): Promise<void> {
    await this.#ip.run(["link", "delete", "dev", name]);
  }

  /** Takes a VM's device off its bridge, down, as new: nobody reaches anything through it. Idempotent. */
  async detach(name: string): Promise<void> {
    await this.#ip.batch([
      `link set dev ${name} down`,
      `link set dev ${name} nomaster`,
      // Whoever has it open may change the address, to that of another guest for instance.
      `link set dev ${name} address ${randomMac()}`,
    ]);
  }

  /** A detached device belongs to the pool from now on. Idempotent. */
  async shelve(name: string): Promise<void> {
    await this.#label(name, poolAlias(this.#install.tag));
  }

  async #make(tap: TapDevice, signal: AbortSignal): Promise<void> {
    const { name, id, owner } = tap;
    await this.#ip.batch(
      [
        `tuntap add dev ${name} mode tap user ${String(owner)}`,
        `link set dev ${name} alias ${vmAlias(id)}`,
      ],
      signal,
    );
  }

  async #label(
    name: string,
    alias: string,
    signal?: AbortSignal,
  ): Promise<void> {
    await this.#ip.run(["link", "set", "dev", name, "alias", alias], signal);
  }

  #isPooled(device: NetworkDevice): boolean {
    return isTap(device) && device.alias === poolAlias(this.#install.tag);
  }

  async #isOf(
    tap: TapDevice,
    device: NetworkDevice,
    signal?: AbortSignal,
  ): Promise<boolean> {
    const { alias, master, hasCarrier } = device;
    if (!isTap(device)) return false;
    if (alias !== undefined && alias !== vmAlias(tap.id)) return false;
    if (alias !== undefined && master !== undefined) return true;
    // Whoever ended between the two lines that make it has left one without alias.
    if (alias === undefined && (master !== undefined || hasCarrier))
      return false;
    const owners = [tap.owner, this.#install.owner.uid];
    return this.#isOwnedBy(owners, device, signal);
  }

  async #isOwnedBy(
    uids: readonly number[],
    { user }: NetworkDevice,
    signal?: AbortSignal,
  ): Promise<boolean> {
    return (
      user !== undefined &&
      uids.includes(await uidOf(this.#commands, user, signal))
    );
  }
}

/** Is it a TAP device? Pure. */
export function isTap({ kind, tunType }: NetworkDevice): boolean {
  return kind === "tun" && tunType === "tap";
}

/** The uid of a device's user: `ip` prints the name of one that has a name, even when asked for numbers. */
export async function uidOf(
  commands: CommandRunner,
  user: string,
  signal?: AbortSignal,
): Promise<number> {
  if (/^[0-9]+$/.test(user)) return Number(user);
  const { stdout } = await commands.run({
    file: "id",
    args: ["-u", "--", user],
    timeoutMs: 10_000,
    ...(signal === undefined ? {} : { signal }),
  });
  return Number(stdout);
}

/** Locally administered, of nobody. */
function randomMac(): string {
  const bytes = randomBytes(5).toString("hex").match(/../g) ?? [];
  return ["02", ...bytes].join(":");
}
