import {
  KeyedLock,
  macAddress,
  type Check,
  type CommandRunner,
  type GuestNetwork,
  type NetworkAddresses,
  type Nic,
  type VmId,
  type VmRecord,
} from "@banger/core";
import { BridgeDevice } from "./bridge-device.js";
import type { BridgeSettings } from "./bridge-settings.js";
import { hostNameservers } from "./host-nameservers.js";
import type { HostNetwork } from "./host-network.js";
import { covers, parseIpv4, renderIpv4, renderSubnet } from "./ipv4.js";
import {
  NetworkConflictError,
  NetworkFullError,
  NetworkPrivilegeError,
} from "./network-errors.js";
import { SourceGuard } from "./source-guard.js";
import { isTapDeviceName, TapDevices, tapDeviceName } from "./tap-device.js";

/** iproute2, procps and nftables */
const programs = ["ip", "sysctl", "nft"];

/**
 * A bridge with a TAP device for each VM: the host and the VMs reach each other directly, and nothing beyond the host until a plugin
 * opens the way. Needs root.
 */
export class BridgeNetwork implements HostNetwork {
  readonly mode = "bridge";
  readonly #commands: CommandRunner;
  readonly #isRoot: boolean;
  readonly #settings: BridgeSettings;
  readonly #tapOwner: number;
  readonly #nameservers: () => readonly string[];
  readonly #bridge: BridgeDevice;
  readonly #taps: TapDevices;
  readonly #guard: SourceGuard;
  readonly #lock = new KeyedLock();

  /**
   * @param tapOwner uid that the VMMs run as: it may open the TAP devices
   * @param nameservers what guests ask; default: the host's own, but for loopback addresses
   */
  constructor(options: {
    readonly commands: CommandRunner;
    readonly isRoot: boolean;
    readonly settings: BridgeSettings;
    readonly tapOwner: number;
    readonly nameservers?: () => readonly string[];
  }) {
    const { commands, settings } = options;
    this.#commands = commands;
    this.#isRoot = options.isRoot;
    this.#settings = settings;
    this.#tapOwner = options.tapOwner;
    this.#nameservers = options.nameservers ?? hostNameservers;
    this.#bridge = new BridgeDevice(settings, commands);
    this.#taps = new TapDevices(commands);
    this.#guard = new SourceGuard(commands);
  }

  /** Rules of the host decide, and they can change. */
  liveEgress(): boolean {
    return true;
  }

  direct(): boolean {
    return true;
  }

  /**
   * A loopback address of each VM's own, from the last 16 bits of the guest's: so two VMs may publish the same port, and no other guest
   * reaches it. What the guest itself listens on is reached at its own address.
   */
  publishAddress(vm: VmRecord): string {
    const [, , high = "0", low = "0"] = vm.runtime.guestIp.split(".");
    return `127.78.${high}.${low}`;
  }

  /** @throws {@link NetworkFullError} */
  addresses(lease: number, id: VmId): NetworkAddresses {
    const { subnet, guests } = this.#settings;
    if (lease > guests)
      throw new NetworkFullError(renderSubnet(subnet), guests);
    const guestIp = renderIpv4(subnet.first + 1 + lease);
    return {
      guestIp,
      ssh: { host: guestIp, port: 22 },
      tapDevice: tapDeviceName(id),
    };
  }

  /** The name servers are the host's at the moment of the start. */
  guestNetwork(vm: VmRecord): GuestNetwork {
    const { address, subnet } = this.#settings;
    return {
      address: `${vm.runtime.guestIp}/${String(subnet.prefix)}`,
      gateway: address,
      nameservers: this.#nameservers(),
    };
  }

  nic(vm: VmRecord): Nic {
    return {
      mac: macAddress(vm.id),
      backend: { kind: "tap", device: tapOf(vm) },
    };
  }

  /**
   * The bridge when there is none yet, then the VM's TAP device, which is joined to it only when its guard stands.
   * @throws {@link NetworkPrivilegeError}, {@link NetworkConflictError}, ToolMissingError, CommandFailedError, CancelledError
   */
  async prepare(vm: VmRecord, signal: AbortSignal): Promise<void> {
    if (!this.#isRoot)
      throw new NetworkPrivilegeError(`the network of ${vm.name}`);
    this.#requireInSubnet(vm);
    const { name: bridge } = this.#settings;
    const device = tapOf(vm);
    await this.#lock.run(bridge, signal, () => this.#bridge.ensure(signal));
    const owner = this.#tapOwner;
    await this.#taps.ensure(device, { owner, bridge }, signal);
    await this.#guard.ensure(device, vm, signal);
    await this.#taps.join(device, bridge, signal);
  }

  /**
   * The TAP device and its guard; the bridge stays.
   * @throws CommandFailedError
   */
  async remove(vm: VmRecord): Promise<void> {
    // Whoever is not root has made none, and without the program there is none.
    if (!this.#isRoot) return;
    if ((await this.#commands.find("ip")) === undefined) return;
    const device = tapOf(vm);
    await this.#taps.remove(device);
    await this.#guard.remove(device);
  }

  async check(): Promise<Check> {
    const check = { id: "host.network", title: "network of the guests" };
    const { name, address, subnet } = this.#settings;
    const fail = (detail: string, fix: string): Check => ({
      ...check,
      status: "fail",
      detail: `mode bridge: ${detail}`,
      fix,
    });
    if (!this.#isRoot) {
      const { message, hint = "" } = new NetworkPrivilegeError("the bridge");
      return fail(message, hint);
    }
    const found = await Promise.all(
      programs.map((program) => this.#commands.find(program)),
    );
    const missing = programs.filter((_, index) => found[index] === undefined);
    if (missing.length > 0)
      return fail(
        `missing: ${missing.join(", ")}`,
        "apt-get install -y --no-install-recommends iproute2 procps nftables",
      );
    const problem = await this.#bridge.problem();
    if (problem !== undefined)
      return fail(problem, "Look at section [network]: banger config show");
    const detail = `mode bridge: ${name}, ${address}/${String(subnet.prefix)}, addresses for ${String(this.#settings.guests)} VMs`;
    return this.#nameservers().length > 0
      ? { ...check, status: "pass", detail }
      : {
          ...check,
          status: "warn",
          detail: `${detail}; the host has no name server that guests can ask, so they find no names`,
          fix: "Name one that is not on a loopback address: /etc/resolv.conf",
        };
  }

  /** An address outside of the subnet reaches nobody: the subnet was another when the VM was made. */
  #requireInSubnet(vm: VmRecord): void {
    const { subnet } = this.#settings;
    const { guestIp } = vm.runtime;
    const address = parseIpv4(guestIp);
    const inside =
      address !== undefined && covers(subnet, { first: address, prefix: 32 });
    if (inside) return;
    throw new NetworkConflictError(
      `${vm.name} has the address ${guestIp}, which is not in the guests' subnet ${renderSubnet(subnet)}`,
      {
        hint: `Set address in section [network] back to the one it was made with, or delete it: banger vm delete ${vm.name}`,
      },
    );
  }
}

/** From the record; a name that is not ours is not used, whatever the record says. */
function tapOf({ id, runtime: { tapDevice } }: VmRecord): string {
  return tapDevice !== undefined && isTapDeviceName(tapDevice)
    ? tapDevice
    : tapDeviceName(id);
}
