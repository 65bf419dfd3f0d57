import {
  overlap,
  parseCidr,
  renderSubnet,
  type CommandRunner,
} from "@banger/core";
import type { BridgeSettings } from "./bridge-settings.js";
import { IpCommand, type NetworkDevice } from "./ip-command.js";
import { NetworkConflictError } from "./network-errors.js";
import { installAlias } from "./tap-names.js";

/** The bridge that joins the guests' TAP devices to the host. It stays when its last VM is gone: the next one needs it. */
export class BridgeDevice {
  readonly #settings: BridgeSettings;
  readonly #tag: string;
  readonly #commands: CommandRunner;
  readonly #ip: IpCommand;

  /** @param install distinguishes the installs of one host: a bridge is of one of them, whose tag it carries as its alias */
  constructor(
    settings: BridgeSettings,
    install: string,
    commands: CommandRunner,
  ) {
    this.#settings = settings;
    this.#tag = installAlias(install);
    this.#commands = commands;
    this.#ip = new IpCommand(commands);
  }

  /**
   * The bridge with its address, up. Idempotent, and finishes one that was left half made. One caller at a time.
   * @throws {@link NetworkConflictError} when its name or its subnet belongs to something else, such as another install
   */
  async ensure(signal: AbortSignal): Promise<void> {
    const { name, address, subnet } = this.#settings;
    const before = await this.#ip.device(name, signal);
    const cidr = `${address}/${String(subnet.prefix)}`;
    const problem = await this.#conflict(before, signal);
    if (problem !== undefined) throw conflict(problem, name);
    if (before && before.alias !== this.#tag)
      await this.#ip.run(
        ["link", "set", "dev", name, "alias", this.#tag],
        signal,
      );
    if (before?.isUp && before.addresses.includes(cidr)) return;
    const route = await this.conflictingRoute(signal);
    if (route !== undefined)
      throw new NetworkConflictError(
        `the guests' subnet ${renderSubnet(subnet)} overlaps a route of this host: ${route}`,
        {
          hint: "Choose another subnet: address in section [network] of the configuration",
        },
      );
    if (!before) await this.#make(signal);
    // Also for one that a daemon left half made.
    await this.#close(signal);
    if (!before?.addresses.includes(cidr))
      await this.#ip.run(["address", "add", cidr, "dev", name], signal);
    await this.#ip.run(["link", "set", "dev", name, "up"], signal);
  }

  async #conflict(
    device: NetworkDevice | undefined,
    signal?: AbortSignal,
  ): Promise<string | undefined> {
    const { alias } = device ?? {};
    const isAbandoned =
      alias !== this.#tag &&
      installTag.test(alias ?? "") &&
      (await this.#ip.ports(this.#settings.name, signal)).length === 0;
    // Bridges stay when their last VM goes, so the install may be gone as well; one that is not looks at the mark at its next start.
    const seen =
      device && isAbandoned ? { ...device, alias: this.#tag } : device;
    return describeConflict(this.#settings, this.#tag, seen);
  }

  /** What is in the way of the bridge, a line; `undefined` when it is as it should be or can be made. Reads only. */
  async problem(): Promise<string | undefined> {
    const device = await this.#ip.device(this.#settings.name);
    const conflicting = await this.#conflict(device);
    if (conflicting !== undefined) return conflicting;
    const route = await this.conflictingRoute();
    return route === undefined
      ? undefined
      : `the guests' subnet ${renderSubnet(this.#settings.subnet)} overlaps a route of this host: ${route}`;
  }

  /** A route to addresses of the guests through something else than the bridge, as `ip route` names it. */
  async conflictingRoute(signal?: AbortSignal): Promise<string | undefined> {
    const { name, subnet } = this.#settings;
    const routes = await this.#ip.list(["-4", "route", "show"], signal);
    for (const { dst, dev } of routes) {
      // The default route is for whatever has no other.
      const to = typeof dst === "string" ? parseCidr(dst) : undefined;
      if (!to || to.prefix === 0 || dev === name) continue;
      if (overlap(to, subnet))
        return typeof dev === "string"
          ? `${String(dst)} dev ${dev}`
          : String(dst);
    }
    return undefined;
  }

  async #make(signal: AbortSignal): Promise<void> {
    const { name } = this.#settings;
    const mac = macOf(this.#settings);
    await this.#ip.batch(
      [
        `link add name ${name} address ${mac} type bridge`,
        // The kernel heeds no alias in the request that makes a device.
        `link set dev ${name} alias ${this.#tag}`,
      ],
      signal,
    );
  }

  /**
   * The second line behind the fence, which any program undoes that sets net.ipv4.ip_forward, as the kernel copies that to every device:
   * the kernel forwards nothing from the bridge until a plugin opens it, and takes no IPv6 from it, for which there are neither addresses nor rules.
   */
  async #close(signal: AbortSignal): Promise<void> {
    const { name } = this.#settings;
    await this.#commands.run({
      file: "sysctl",
      // `-e`: a kernel without IPv6 has no such key.
      args: [
        "-e",
        "-q",
        "-w",
        `net.ipv4.conf.${name}.forwarding=0`,
        `net.ipv6.conf.${name}.disable_ipv6=1`,
      ],
      timeoutMs: 10_000,
      signal,
    });
  }
}

/** Does this device belong to something else than the install of this tag? One without a mark is nobody's. Pure. */
export function isForeignBridge(
  device: NetworkDevice | undefined,
  tag: string,
): boolean {
  return device?.alias !== undefined && device.alias !== installAlias(tag);
}

/** What an install marks its bridge with. */
const installTag = /^banger-[0-9a-f]{8}$/;

/** An address of its own: else it takes the lowest of its ports, and the guests' gateway changes as VMs come and go. */
function macOf({ subnet }: BridgeSettings): string {
  const bytes = subnet.first.toString(16).padStart(8, "0").match(/../g) ?? [];
  return ["02", "fc", ...bytes].join(":");
}

function describeConflict(
  settings: BridgeSettings,
  tag: string,
  device: NetworkDevice | undefined,
): string | undefined {
  const { name, address, subnet } = settings;
  if (!device) return undefined;
  if (device.kind !== "bridge")
    return `the device ${name} is no bridge but ${device.kind ?? "hardware"}`;
  const wanted = `${address}/${String(subnet.prefix)}`;
  const { addresses, alias, mac } = device;
  if (alias !== undefined && alias !== tag)
    return `the bridge ${name} belongs to another install: it is marked ${JSON.stringify(alias)}`;
  if (addresses.length > 0 && !addresses.includes(wanted))
    return `the bridge ${name} has the address ${addresses.join(", ")} and not ${wanted}`;
  // Without a tag it may be one that we were about to tag.
  return alias === tag || mac === macOf(settings)
    ? undefined
    : `somebody else has made the bridge ${name}: it carries no mark of ours`;
}

function conflict(problem: string, name: string): NetworkConflictError {
  return new NetworkConflictError(problem, {
    hint: `Set another network.bridge and network.address in the configuration, or remove this one when nothing uses it: ip link delete ${name}`,
  });
}
