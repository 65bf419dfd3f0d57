import { forwardMark, type CommandRunner } from "@banger/core";
import { isObject, NftCommand, renderRemoval } from "./nft-command.js";

/**
 * What keeps the guests of a bridge from whatever is beyond the host, and that from them: the kernel forwards only packets that a rule has
 * marked with {@link forwardMark}. It rests neither on a setting of the host nor on a plugin, and goes with the last port of the bridge.
 * It only drops: what it lets pass must still be accepted by every other table.
 */
export class BridgeFence {
  readonly #bridge: string;
  readonly #nft: NftCommand;

  constructor(bridge: string, commands: CommandRunner) {
    this.#bridge = bridge;
    this.#nft = new NftCommand(commands);
  }

  /** Idempotent, one transaction: there is no moment without it. @throws ToolMissingError, CommandFailedError, CancelledError */
  async ensure(signal: AbortSignal): Promise<void> {
    await this.#nft.apply(renderFence(this.#bridge), signal);
  }

  /** Idempotent. */
  async remove(): Promise<void> {
    if (!(await this.#nft.isInstalled())) return;
    await this.#nft.apply(renderRemoval("inet", tableName(this.#bridge)));
  }

  async stands(): Promise<boolean> {
    const objects = await this.#nft.list(["tables", "inet"]);
    const name = tableName(this.#bridge);
    return objects.some(
      ({ table }) => isObject(table) && table["name"] === name,
    );
  }
}

/**
 * The transaction that replaces the fence of this bridge. Pure. Around the priority of mangle, -150, where the mark is set, and before
 * that of filter, 0, where others may accept. Frames between two ports come here only where br_netfilter is loaded, with the bridge as
 * both interfaces.
 */
function renderFence(bridge: string): string {
  const table = tableName(bridge);
  const bit = `0x${forwardMark.toString(16)}`;
  const others = `0x${(0xffffffff - forwardMark).toString(16)}`;
  return `${renderRemoval("inet", table)}table inet ${table} {
  chain pass {
    meta mark & ${bit} == 0 drop
    meta mark set meta mark & ${others}
  }
  chain arrive {
    type filter hook forward priority -151; policy accept;
    iifname "${bridge}" meta mark set meta mark & ${others}
    oifname "${bridge}" meta mark set meta mark & ${others}
  }
  chain leave {
    type filter hook forward priority -149; policy accept;
    iifname "${bridge}" oifname "${bridge}" accept
    iifname "${bridge}" goto pass
    oifname "${bridge}" goto pass
  }
}
`;
}

function tableName(bridge: string): string {
  return `banger-${bridge}`;
}
