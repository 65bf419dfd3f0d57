import {
  JoinedError,
  KeyedLock,
  macAddress,
  type Check,
  type CommandRunner,
  type GuestNetwork,
  type NetworkAddresses,
  type NetworkNames,
  type Nic,
  type VmRecord,
} from "@banger/core";
import { BridgeDevice } from "./bridge-device.js";
import { BridgeFence } from "./bridge-fence.js";
import type { BridgeSettings } from "./bridge-settings.js";
import { hostNameservers } from "./host-nameservers.js";
import type { HostNetwork } from "./host-network.js";
import { IpCommand } from "./ip-command.js";
import { parseIpv4, renderIpv4, renderSubnet } from "./ipv4.js";
import {
  NetworkConflictError,
  NetworkFullError,
  NetworkPrivilegeError,
} from "./network-errors.js";
import { SourceGuard } from "./source-guard.js";
import {
  isTapDeviceName,
  TapDevices,
  tapDeviceName,
  type TapDevice,
} from "./tap-device.js";

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
  readonly #tapOwner: (vm: VmRecord) => number | Promise<number>;
  readonly #nameservers: () => readonly string[];
  readonly #bridge: BridgeDevice;
  readonly #taps: TapDevices;
  readonly #guard: SourceGuard;
  readonly #fence: BridgeFence;
  readonly #ip: IpCommand;
  readonly #lock = new KeyedLock();

  /**
   * @param install distinguishes the installs of one host, each of which needs a bridge of its own; letters and digits
   * @param tapOwner uid that the VM's VMM runs as: it may open the TAP device
   * @param nameservers what guests ask; default: the host's own, but for loopback addresses
   */
  constructor(options: {
    readonly commands: CommandRunner;
    readonly isRoot: boolean;
    readonly settings: BridgeSettings;
    readonly install: string;
    readonly tapOwner: (vm: VmRecord) => number | Promise<number>;
    readonly nameservers?: () => readonly string[];
  }) {
    const { commands, settings } = options;
    this.#commands = commands;
    this.#isRoot = options.isRoot;
    this.#settings = settings;
    this.#tapOwner = options.tapOwner;
    this.#nameservers = options.nameservers ?? hostNameservers;
    this.#bridge = new BridgeDevice(settings, options.install, commands);
    this.#taps = new TapDevices(commands);
    this.#guard = new SourceGuard(commands);
    this.#fence = new BridgeFence(settings.name, commands);
    this.#ip = new IpCommand(commands);
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

  names({ id }: VmRecord): NetworkNames {
    return { tapDevice: tapDeviceName(id) };
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
   * @throws {@link NetworkPrivilegeError}, {@link NetworkConflictError}, ToolMissingError, CommandFailedError, CancelledError
   */
  async prepare(vm: VmRecord, signal: AbortSignal): Promise<void> {
    if (!this.#isRoot)
      throw new NetworkPrivilegeError(`the network of ${vm.name}`);
    this.#requireInSubnet(vm);
    const { name: bridge } = this.#settings;
    const tap = this.#tapOf(vm);
    // Alone: an address is given to one, and whoever removes the last device takes the fence away.
    await this.#lock.run(bridge, signal, async () => {
      await this.#bridge.ensure(signal);
      await this.#fence.ensure(signal);
      await this.#requireFree(vm, tap.name, signal);
      await this.#taps.ensure(tap, bridge, signal);
      await this.#guard.ensure(tap.name, vm, signal);
      await this.#taps.join(tap.name, bridge, signal);
    });
  }

  /** @throws as {@link BridgeNetwork.prepare} */
  async restore(vm: VmRecord, signal: AbortSignal): Promise<void> {
    await this.prepare(vm, signal);
  }

  /**
   * The TAP device and its guard, unless they are another VM's, and with the last device the fence. The bridge stays.
   * @throws JoinedError with everything that failed
   */
  async remove(vm: VmRecord): Promise<void> {
    // Whoever is not root has made none, and without the program there is none.
    if (!this.#isRoot) return;
    if ((await this.#commands.find("ip")) === undefined) return;
    const { name: bridge } = this.#settings;
    const tap = this.#tapOf(vm);
    const { signal } = new AbortController();
    await this.#lock.run(bridge, signal, async () => {
      const failures: unknown[] = [];
      const attempt = async <T>(
        work: () => Promise<T>,
      ): Promise<T | undefined> => {
        try {
          return await work();
        } catch (error) {
          failures.push(error);
          return undefined;
        }
      };
      const isFree = await attempt(() => this.#taps.remove(tap));
      // Not when its device is somebody else's; of one that could not be removed its guest has ended.
      if (isFree !== false) await attempt(() => this.#guard.remove(tap.name));
      await attempt(async () => {
        // Another install may be about to join its first device.
        if (await this.#bridge.isForeign()) return;
        const ports = await this.#ip.ports(bridge);
        if (ports.length === 0) await this.#fence.remove();
      });
      if (failures.length > 0)
        throw new JoinedError(
          `the network of ${vm.name} is not wholly removed`,
          failures,
        );
    });
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
    const open = await this.#unguarded();
    if (open.length > 0)
      return fail(
        `the rules that confine guests are gone (nft list ruleset), as after a restart of nftables: ${open.map(({ what }) => what).join(", ")}`,
        `banger vm restart ${[...new Set(open.flatMap(({ vms }) => vms))].join(" ")}`,
      );
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

  /** What confines no guest that has a device on the bridge, and the names of the VMs that it should confine. */
  async #unguarded(): Promise<
    readonly { readonly what: string; readonly vms: readonly string[] }[]
  > {
    const { name } = this.#settings;
    const taps = (await this.#ip.ports(name)).flatMap((port) => {
      const [, id] = /^banger-([0-9a-f]+)$/.exec(port.alias ?? "") ?? [];
      return id === undefined ? [] : [{ device: port.name, id }];
    });
    if (taps.length === 0) return [];
    const guarded = await this.#guard.list();
    const fence = (await this.#fence.stands())
      ? []
      : [{ what: `the fence of ${name}`, vms: taps.map(({ id }) => id) }];
    const guards = taps
      .filter(({ device }) => !guarded.has(device))
      .map(({ device, id }) => ({ what: `the guard of ${device}`, vms: [id] }));
    return [...fence, ...guards];
  }

  /** Two VMs have one address when that of the network was changed between them. */
  async #requireFree(
    vm: VmRecord,
    device: string,
    signal: AbortSignal,
  ): Promise<void> {
    const { guestIp } = vm.runtime;
    const guards = await this.#guard.list(signal);
    // The guard of a device that is gone guards nobody.
    const ports = await this.#ip.ports(this.#settings.name, signal);
    const other = ports.find(
      ({ name }) => name !== device && guards.get(name) === guestIp,
    );
    if (!other) return;
    throw new NetworkConflictError(
      `${vm.name} has the address ${guestIp}, and so has the VM of ${other.name}, which runs`,
      {
        hint: `Stop the other one (its id is the alias in: ip link show ${other.name}), or delete this one: banger vm delete ${vm.name}`,
      },
    );
  }

  /** From the record; a name that is not ours is not used, whatever the record says. */
  #tapOf(vm: VmRecord): TapDevice {
    const owner = async (): Promise<number> => this.#tapOwner(vm);
    return { name: tapOf(vm), id: vm.id, owner };
  }

  /** Another address reaches nobody, or is the host's own: the subnet was another when the VM was made. */
  #requireInSubnet(vm: VmRecord): void {
    const { subnet, guests } = this.#settings;
    const { guestIp } = vm.runtime;
    const address = parseIpv4(guestIp) ?? 0;
    const lease = address - subnet.first - 1;
    if (lease >= 1 && lease <= guests) return;
    throw new NetworkConflictError(
      `${vm.name} has the address ${guestIp}, which is none of the guests' in ${renderSubnet(subnet)}`,
      {
        hint: `Set address in section [network] back to the one it was made with, or delete it: banger vm delete ${vm.name}`,
      },
    );
  }
}

function tapOf({ id, runtime: { tapDevice } }: VmRecord): string {
  return tapDevice !== undefined && isTapDeviceName(tapDevice)
    ? tapDevice
    : tapDeviceName(id);
}
