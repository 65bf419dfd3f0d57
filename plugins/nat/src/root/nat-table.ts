import { z } from "zod";
import { BangerError, type CommandRunner, type VmId } from "@banger/core";
import type { Guest, Path, Permit } from "./guest.js";
import { Nft } from "./nft.js";
import type { RecordedRefusal } from "./recorded-refusal.js";
import { holderOf, namesOf, type Holder } from "./rule-names.js";
import {
  mapNames,
  refusalSeconds,
  renderEmptyTableRemoval,
  renderGuest,
  renderPermit,
  renderRemoval,
  renderTable,
  tableName,
  type MapKey,
} from "./table-text.js";

/** Marks, while the table is there, that `net.ipv4.ip_forward` was off before the first guest left. */
const switchedOn = "forwarding-was-off";

const table = ["inet", tableName];

/** Most VMs of an install that there are rules of, whether or not they run: each takes the kernel's memory. */
const mostHolders = 4096;

/** Another VM's rules do not fit. */
class NatFullError extends BangerError {
  override readonly code = "ERR_NAT_FULL";
  override readonly kind = "unavailable";
  constructor(count: number) {
    super(
      `the firewall has rules of ${String(count)} VMs of this install, and takes no more`,
      { hint: "Remove those of VMs that do not run: banger doctor lists them" },
    );
  }
}

const chain = z.object({
  family: z.string(),
  table: z.string(),
  name: z.string(),
  hook: z.string().optional(),
});

const target = z.object({ goto: z.object({ target: z.string() }) });
const map = z.object({
  elem: z
    .array(
      z.tuple([
        z.union([z.string(), z.object({ concat: z.array(z.string()) })]),
        target,
      ]),
    )
    .default([]),
});

/** `expires` in whole seconds; a protocol without a name is a number. */
const refusalSet = z.object({
  elem: z
    .array(
      z.object({
        elem: z.object({
          val: z.object({
            concat: z.array(z.union([z.string(), z.number()])),
          }),
          expires: z.number(),
          counter: z.object({ packets: z.number() }),
        }),
      }),
    )
    .default([]),
});

interface Element extends MapKey {
  readonly chain: string;
}

/**
 * Our nftables table: decides what of a guest's packets passes the network's fence, and remembers what does not. Every change is one
 * transaction.
 */
export class NatTable {
  readonly #nft: Nft;

  constructor(commands: CommandRunner, signal: AbortSignal) {
    this.#nft = new Nft(commands, signal);
  }

  /** @param before did `net.ipv4.ip_forward` have to be switched on for this guest? */
  async ensure(
    guest: Guest,
    path: Path,
    how: { readonly translates: boolean; readonly wasOff: boolean },
  ): Promise<void> {
    const own = `${path.bridge} ${guest.guestIp}`;
    const inTheWay = (await this.#elements()).filter(
      (element) =>
        isOf(guest, element) ||
        // Of a VM that had this address before, and has left its rules.
        element.key.join(" ") === own ||
        (element.map === "translated" && element.key[0] === guest.guestIp),
    );
    if (!inTheWay.some((element) => isOf(guest, element)))
      await this.#requireRoom(guest);
    await this.#nft.apply([
      ...renderTable(how.translates),
      ...(how.wasOff ? [`add chain ${table.join(" ")} ${switchedOn}`] : []),
      ...renderGuest(guest, path, inTheWay, how.translates),
    ]);
  }

  /** Idempotent. */
  async remove(holder: Holder): Promise<void> {
    if (!(await this.#exists())) return;
    const present = (await this.#elements()).filter((element) =>
      isOf(holder, element),
    );
    await this.#nft.apply(renderRemoval(holder, present));
  }

  /**
   * Removes the table when no guest is left in it.
   * @returns `forwarding` when that was the last trace of our having switched it on
   */
  async removeEmpty(): Promise<"forwarding" | undefined> {
    const chains = await this.#chains();
    if (!chains.some(isOurs)) return undefined;
    if (!(await this.#nft.attempt(renderEmptyTableRemoval()))) return undefined;
    return chains.some((one) => isOurs(one) && one.name === switchedOn)
      ? "forwarding"
      : undefined;
  }

  /** Bridges from which a guest may leave, with and without this one. */
  async openBridges(except?: Holder): Promise<{
    readonly all: ReadonlySet<string>;
    readonly others: ReadonlySet<string>;
  }> {
    const leaving = (await this.#elements()).filter(
      (element) => element.map === "leaving",
    );
    const others = leaving.filter(
      (element) => except === undefined || !isOf(except, element),
    );
    return { all: bridgesOf(leaving), others: bridgesOf(others) };
  }

  /** Do tables of others, and not iptables' own, look at what is forwarded? */
  async othersForward(): Promise<boolean> {
    return (await this.#chains()).some(
      (one) =>
        one.hook === "forward" &&
        !one.table.startsWith("banger-") &&
        !(one.family === "ip" && one.name === "FORWARD"),
    );
  }

  /** Does firewalld have tables here? What our table accepts it may still drop. */
  async hasFirewalld(): Promise<boolean> {
    return (await this.#chains()).some((one) => one.table === "firewalld");
  }

  /** VMs of this install that the table has chains of. */
  async holders(tag: string): Promise<readonly VmId[]> {
    const chains = (await this.#chains()).filter(isOurs);
    return chains.flatMap(({ name }) => holderOf(name, tag) ?? []);
  }

  /** The lines of the transaction that removes a VM's part; none where there is no table. */
  async removalOf(holder: Holder): Promise<readonly string[]> {
    if (!(await this.#exists())) return [];
    const elements = await this.#elements();
    return renderRemoval(
      holder,
      elements.filter((element) => isOf(holder, element)),
    );
  }

  async permit(holder: Holder, permit: Permit): Promise<void> {
    const elements = renderPermit(holder, permit);
    if (elements.length > 0) await this.#nft.attempt(elements);
  }

  async refusals(holder: Holder): Promise<readonly RecordedRefusal[]> {
    const { refused, unported } = namesOf(holder);
    const lists = await Promise.all(
      [refused, unported].map((set) =>
        this.#nft.list(["set", ...table, set], "set", refusalSet),
      ),
    );
    return lists.flat().flatMap(({ elem }) =>
      elem.flatMap(({ elem: { val, expires, counter } }) => {
        const [address, protocol, port] = val.concat;
        if (typeof address !== "string" || protocol === undefined) return [];
        return [
          {
            address,
            protocol: String(protocol),
            ...(typeof port === "number" ? { port } : {}),
            packets: counter.packets,
            ageSeconds: Math.max(0, refusalSeconds - expires),
          },
        ];
      }),
    );
  }

  /** @throws NatFullError */
  async #requireRoom({ id, tag }: Holder): Promise<void> {
    const holders = await this.holders(tag);
    if (holders.length >= mostHolders && !holders.includes(id))
      throw new NatFullError(holders.length);
  }

  async #exists(): Promise<boolean> {
    return (await this.#chains()).some(isOurs);
  }

  async #chains(): Promise<readonly z.output<typeof chain>[]> {
    if (!(await this.#nft.isInstalled())) return [];
    return this.#nft.list(["chains"], "chain", chain);
  }

  async #elements(): Promise<readonly Element[]> {
    const lists: Element[] = [];
    if (!(await this.#nft.isInstalled())) return lists;
    for (const name of mapNames) {
      const [found] = await this.#nft.list(["map", ...table, name], "map", map);
      for (const [key, { goto }] of found?.elem ?? [])
        lists.push({
          map: name,
          key: typeof key === "string" ? [key] : key.concat,
          chain: goto.target,
        });
    }
    return lists;
  }
}

function bridgesOf(leaving: readonly Element[]): ReadonlySet<string> {
  return new Set(leaving.flatMap(({ key }) => key[0] ?? []));
}

function isOf(holder: Holder, { chain: name }: Element): boolean {
  const { out, back, leave } = namesOf(holder);
  return [out, back, leave].includes(name);
}

function isOurs(one: z.output<typeof chain>): boolean {
  return one.family === "inet" && one.table === tableName;
}
