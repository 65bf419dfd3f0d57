import { macAddress, type CommandRunner, type VmId } from "@banger/core";
import { isObject, NftCommand, renderRemoval } from "./nft-command.js";

/** Who may speak through a TAP device. */
export interface Guest {
  readonly id: VmId;
  /** IPv4, dotted */
  readonly guestIp: string;
}

/**
 * What a TAP device lets in from its guest: IPv4 and ARP from the guest's own addresses and nothing else. So no guest speaks for
 * another, and a rule for an address of the bridge is a rule for one TAP device.
 * A hook on the device's ingress sees its frames alone, before the bridge does.
 * @see nft(8), netdev family: ingress
 */
export class SourceGuard {
  readonly #nft: NftCommand;

  constructor(commands: CommandRunner) {
    this.#nft = new NftCommand(commands);
  }

  /** Idempotent. */
  async remove(device: string): Promise<void> {
    if (!(await this.#nft.isInstalled())) return;
    await this.#nft.apply(renderRemoval("netdev", tableName(device)));
  }

  /** The guarded devices, each with the IPv4 address of its guest. A device that is gone may be among them. */
  async list(signal?: AbortSignal): Promise<ReadonlyMap<string, string>> {
    const objects = await this.#nft.list(["ruleset", "netdev"], signal);
    const found = objects.flatMap(({ rule }) => {
      if (!isObject(rule) || !Array.isArray(rule["expr"])) return [];
      const [, device] = /^banger-(.+)$/.exec(String(rule["table"])) ?? [];
      const address = rule["expr"].flatMap(ipv4Source)[0];
      if (device === undefined || address === undefined) return [];
      return [[device, address] as const];
    });
    return new Map(found);
  }
}

/** The address of `ip saddr ADDRESS` in an expression of a rule. */
function ipv4Source(expression: unknown): readonly string[] {
  const match = isObject(expression) ? expression["match"] : undefined;
  if (!isObject(match) || !isObject(match["left"])) return [];
  const { payload } = match["left"];
  if (!isObject(payload)) return [];
  const { right } = match;
  const isSource = payload["protocol"] === "ip" && payload["field"] === "saddr";
  return isSource && typeof right === "string" ? [right] : [];
}

/** The transaction that replaces the guard of this device, whatever was there. The device must exist. Pure. */
export function renderGuard(device: string, { id, guestIp }: Guest): string {
  const mac = macAddress(id);
  const table = tableName(device);
  return `${renderRemoval("netdev", table)}table netdev ${table} {
  chain guest {
    type filter hook ingress device "${device}" priority 0; policy drop;
    ether saddr ${mac} ip saddr ${guestIp} accept
    ether saddr ${mac} arp saddr ether ${mac} arp saddr ip { 0.0.0.0, ${guestIp} } accept
  }
}
`;
}

function tableName(device: string): string {
  return `banger-${device}`;
}
