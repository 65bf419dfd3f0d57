import { macAddress, type CommandRunner, type VmRecord } from "@banger/core";

/** ms */
const timeoutMs = 60_000;

/**
 * What a TAP device lets in from its guest: IPv4 and ARP from the guest's own addresses and nothing else. So no guest speaks for
 * another, and a rule for an address of the bridge is a rule for one TAP device.
 * A hook on the device's ingress sees its frames alone, before the bridge does.
 * @see nft(8), netdev family: ingress
 */
export class SourceGuard {
  readonly #commands: CommandRunner;

  constructor(commands: CommandRunner) {
    this.#commands = commands;
  }

  /** Idempotent, one transaction; the device must exist. @throws ToolMissingError, CommandFailedError */
  async ensure(
    device: string,
    vm: VmRecord,
    signal: AbortSignal,
  ): Promise<void> {
    await this.#apply(renderGuard(device, vm), signal);
  }

  /** Idempotent. */
  async remove(device: string): Promise<void> {
    // Without the program there was never a guard.
    if ((await this.#commands.find("nft")) === undefined) return;
    await this.#apply(renderRemoval(device));
  }

  async #apply(input: string, signal?: AbortSignal): Promise<void> {
    const base = { file: "nft", args: ["-f", "-"], timeoutMs, input };
    await this.#commands.run(signal === undefined ? base : { ...base, signal });
  }
}

/** The transaction that replaces the guard of this device, whatever was there. Pure. */
function renderGuard(device: string, vm: VmRecord): string {
  const mac = macAddress(vm.id);
  const { guestIp } = vm.runtime;
  return `${renderRemoval(device)}table netdev ${tableName(device)} {
  chain guest {
    type filter hook ingress device "${device}" priority 0; policy drop;
    ether saddr ${mac} ip saddr ${guestIp} accept
    ether saddr ${mac} arp saddr ether ${mac} arp saddr ip { 0.0.0.0, ${guestIp} } accept
  }
}
`;
}

function renderRemoval(device: string): string {
  const table = tableName(device);
  // Made first, as only what exists can be deleted.
  return `table netdev ${table}\ndelete table netdev ${table}\n`;
}

function tableName(device: string): string {
  return `banger-${device}`;
}
