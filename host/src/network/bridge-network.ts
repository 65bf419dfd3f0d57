import { readFileSync } from "node:fs";
import {
  renderIpv4,
  renderSubnet,
  isBangerError,
  JoinedError,
  macAddress,
  type Check,
  type CommandRunner,
  type GuestNetwork,
  type NetworkAddresses,
  type NetworkNames,
  type Nic,
  type Privileged,
  type VmId,
  type VmRecord,
} from "@banger/core";
import { hasErrorCode } from "../files/error-code.js";
import { bridgeCheck } from "./bridge-check.js";
import { requireGuestAddress, type BridgeSettings } from "./bridge-settings.js";
import { hostNameservers } from "./host-nameservers.js";
import type { HostNetwork } from "./host-network.js";
import { IpCommand } from "./ip-command.js";
import { NetworkFullError } from "./network-errors.js";
import { prepareNetwork, removeNetwork } from "./network-requests.js";
import {
  isPoolDeviceName,
  isTapDeviceName,
  tapDeviceNames,
  vmAlias,
} from "./tap-names.js";
import type { TapPool } from "./tap-pool.js";

/** What a {@link BridgeNetwork} works with. */
export interface BridgeNetworkDeps {
  readonly commands: CommandRunner;
  readonly privileged: Privileged;
  readonly settings: BridgeSettings;
  /** are guests kept from each other? */
  readonly isolate: boolean;
  /** distinguishes the installs of one host, each of which needs a bridge of its own; its devices belong to its owner */
  readonly install: { readonly tag: string; readonly ownerUid: number };
  readonly pool: TapPool;
  /** all records */
  readonly vms: () => Promise<readonly VmRecord[]>;
  /** what guests ask; default: the host's own, but for loopback addresses */
  readonly nameservers?: () => readonly string[];
  /** alias of a network device, `undefined` where there is no such device; default: what the kernel says */
  readonly deviceAlias?: (name: string) => string | undefined;
}

/**
 * A bridge with a TAP device for each VM: the host and the VMs reach each other directly, or each only the host, and nothing beyond the host
 * until a plugin opens the way. What it changes on the host is privileged.
 */
export class BridgeNetwork implements HostNetwork {
  readonly mode = "bridge";
  readonly #deps: BridgeNetworkDeps;
  readonly #settings: BridgeSettings;
  readonly #nameservers: () => readonly string[];
  readonly #deviceAlias: (name: string) => string | undefined;
  readonly #pool: TapPool;

  constructor(deps: BridgeNetworkDeps) {
    this.#deps = deps;
    this.#settings = deps.settings;
    this.#nameservers = deps.nameservers ?? hostNameservers;
    this.#deviceAlias = deps.deviceAlias ?? kernelAlias;
    this.#pool = deps.pool;
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
  addresses(lease: number): NetworkAddresses {
    const { subnet, guests } = this.#settings;
    if (lease > guests)
      throw new NetworkFullError(renderSubnet(subnet), guests);
    const guestIp = renderIpv4(subnet.first + 1 + lease);
    return { guestIp, ssh: { host: guestIp, port: 22 } };
  }

  bridge(): string {
    return this.#settings.name;
  }

  /** One of the pool where there is one, unless the VM's VMM runs as somebody else than the install's owner. */
  names(vm: VmRecord): NetworkNames {
    const { claims } = this.#pool;
    const isShareable = this.#isShareable(vm);
    const kept = claims
      .of(vm.id)
      .find(
        (device) =>
          claims.isAlone(vm.id, device) &&
          (isShareable || !isPoolDeviceName(device)),
      );
    if (kept !== undefined) return { tapDevice: kept };
    const pooled = isShareable ? this.#pool.take() : undefined;
    const tapDevice = pooled ?? this.#ownName(vm.id);
    claims.claim(vm.id, tapDevice);
    return { tapDevice };
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
   * The bridge and its fence when there are none yet, then the VM's TAP device, which is joined to it only when its guard stands. A VM
   * may run meanwhile: its device stays as it is, and fence and guard are replaced at once.
   * @throws PrivilegeMissingError, NetworkConflictError, ToolMissingError, CommandFailedError, CancelledError; by their codes
   */
  async prepare(vm: VmRecord, signal: AbortSignal): Promise<void> {
    const { privileged, isolate } = this.#deps;
    const { guestIp } = vm.runtime;
    requireGuestAddress(this.#settings, vm.name, guestIp);
    const { name: bridge, address, subnet } = this.#settings;
    const input = {
      bridge,
      address: `${address}/${String(subnet.prefix)}`,
      isolate,
      vm: { id: vm.id, guestIp },
      tapDevice: tapOf(vm),
      jailed: isJailed(vm),
    };
    await privileged.request(prepareNetwork, input, signal);
  }

  /** @throws as {@link BridgeNetwork.prepare} */
  async restore(vm: VmRecord, signal: AbortSignal): Promise<void> {
    await this.prepare(vm, signal);
  }

  /**
   * The TAP device and its guard, unless they are another VM's, and with the last device the fence. The bridge stays.
   * @throws JoinedError with everything that failed, by its code
   */
  async remove(vm: VmRecord): Promise<void> {
    const devices = new Set([tapOf(vm), ...this.#pool.claims.of(vm.id)]);
    const failures: unknown[] = [];
    for (const device of devices)
      try {
        await this.#pool.takeBack(vm.id, device, (keep) =>
          this.#remove(vm, device, keep),
        );
      } catch (error) {
        failures.push(error);
      }
    if (failures.length === 1) throw failures[0];
    if (failures.length > 1)
      throw new JoinedError(
        `the network of ${vm.name} is not wholly removed`,
        failures,
      );
  }

  async check(): Promise<Check> {
    return bridgeCheck({
      ...this.#deps,
      poolState: this.#pool.state,
      nameservers: this.#nameservers(),
    });
  }

  /** @returns is the device idle in the pool now? */
  async #remove(vm: VmRecord, device: string, keep: boolean): Promise<boolean> {
    const { commands, privileged, isolate } = this.#deps;
    // Without the program there is none.
    if ((await commands.find("ip")) === undefined) return false;
    const input = {
      bridge: this.#settings.name,
      isolate,
      vmId: vm.id,
      tapDevice: device,
      jailed: isJailed(vm),
      recycle: keep && this.#isShareable(vm),
    };
    const { signal } = new AbortController();
    try {
      const removed = await privileged.request(removeNetwork, input, signal);
      return removed.isIdle;
    } catch (error) {
      if (!isBangerError(error) || error.code !== "ERR_PRIVILEGE_MISSING")
        throw error;
      // Nobody is there who could have made one, or who made it is gone: then it stays, and that must be known.
      const found = await new IpCommand(commands).device(device);
      if (found?.alias === vmAlias(vm.id)) throw error;
      return false;
    }
  }

  /** May its VMM open a device of the pool? A VMM in a jail runs as one of its own where the owner is root. */
  #isShareable(vm: VmRecord): boolean {
    return this.#deps.install.ownerUid !== 0 || !isJailed(vm);
  }

  /** The first that is nobody else's; ids of two VMs may begin alike. */
  #ownName(id: VmId): string {
    const { claims } = this.#pool;
    const names = tapDeviceNames(id);
    const isFree = (name: string): boolean => {
      if (claims.isClaimed(name) && !claims.isAlone(id, name)) return false;
      const alias = this.#deviceAlias(name);
      return alias === undefined || alias === vmAlias(id);
    };
    return names.find(isFree) ?? names[0];
  }
}

/** From the record; a name that is not ours is not used, whatever the record says. */
function tapOf({ id, runtime: { tapDevice } }: VmRecord): string {
  return tapDevice !== undefined && isTapDeviceName(tapDevice)
    ? tapDevice
    : tapDeviceNames(id)[0];
}

function isJailed({ runtime }: VmRecord): boolean {
  return runtime.jailDirectory !== undefined;
}

/** At once, where `ip` would take a process. */
function kernelAlias(name: string): string | undefined {
  try {
    return readFileSync(`/sys/class/net/${name}/ifalias`, "utf8").trim();
  } catch (error) {
    if (hasErrorCode(error, "ENOENT")) return undefined;
    throw error;
  }
}
