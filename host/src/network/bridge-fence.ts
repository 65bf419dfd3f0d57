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

  /**
   * Idempotent, one transaction: there is no moment without it.
   * @param isolate also nothing from the bridge back to it
   * @throws ToolMissingError, CommandFailedError, CancelledError
   */
  async ensure(isolate: boolean, signal?: AbortSignal): Promise<void> {
    await this.#nft.apply(renderFence(this.#bridge, isolate), signal);
  }

  /** Idempotent. */
  async remove(): Promise<void> {
    if (!(await this.#nft.isInstalled())) return;
    await this.#nft.apply(renderRemoval("inet", tableName(this.#bridge)));
  }

  /** What stands of it. */
  async state(signal?: AbortSignal): Promise<FenceState> {
    const objects = await this.#nft.list(["tables", "inet"], signal);
    const name = tableName(this.#bridge);
    const stands = objects.some(
      ({ table }) => isObject(table) && table["name"] === name,
    );
    if (!stands) return "absent";
    const rules = await this.#nft.list(["table", "inet", name], signal);
    return rules.some(isolates) ? "isolating" : "open";
  }
}

/** The bridges that have a fence, also those that are gone; names. */
export async function fencedBridges(
  commands: CommandRunner,
): Promise<readonly string[]> {
  const objects = await new NftCommand(commands).list(["tables", "inet"]);
  return objects.flatMap(({ table }) => {
    if (!isObject(table)) return [];
    return /^banger-(br-fc.*)$/.exec(String(table["name"]))?.[1] ?? [];
  });
}

/** `isolating`: it keeps guests from each other, too. */
export type FenceState = "absent" | "open" | "isolating";

/** Only with isolation something is dropped in the chain itself. */
function isolates({ rule }: Readonly<Record<string, unknown>>): boolean {
  return (
    isObject(rule) &&
    rule["chain"] === "leave" &&
    Array.isArray(rule["expr"]) &&
    rule["expr"].some((part) => isObject(part) && "drop" in part)
  );
}

/**
 * The transaction that replaces the fence of this bridge. Pure. Around the priority of mangle, -150, where the mark is set, and before
 * that of filter, 0, where others may accept. The bridge is both interfaces of what a guest sends to another by way of the host, and, where
 * br_netfilter is loaded, of frames between two ports.
 */
export function renderFence(bridge: string, isolate: boolean): string {
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
    iifname "${bridge}" oifname "${bridge}" ${isolate ? "drop" : "accept"}
    iifname "${bridge}" goto pass
    oifname "${bridge}" goto pass
  }
}
`;
}

function tableName(bridge: string): string {
  return `banger-${bridge}`;
}
