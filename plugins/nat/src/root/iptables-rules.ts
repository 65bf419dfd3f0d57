import type { CommandRunner } from "@banger/core";
import { filtersBridges } from "./bridge-filter.js";
import type { Guest, Path } from "./guest.js";
import { Iptables } from "./iptables.js";
import {
  chains,
  idsIn,
  linesOf,
  rulesOf,
  type Chain,
  type Rule,
} from "./iptables-text.js";
import type { Holder } from "./rule-names.js";

/**
 * The rules of each VM in chains of our own. Chains and their jumps come with the first VM and go with the last; what belongs to a VM is
 * found by the comment on it, so that removal needs its id alone. Another daemon may do the same at the same time: its changes are met by
 * the order of the steps.
 */
export class IptablesRules {
  readonly #iptables: Iptables;
  readonly #commands: CommandRunner;
  readonly #signal: AbortSignal;

  constructor(commands: CommandRunner, signal: AbortSignal) {
    this.#commands = commands;
    this.#signal = signal;
    this.#iptables = new Iptables(commands, signal);
  }

  /** Idempotent. */
  async ensure(guest: Guest, path: Path): Promise<void> {
    const isFiltered = await filtersBridges(this.#commands, this.#signal);
    const wanted = rulesOf(guest, { ...path, isFiltered });
    const isOpen = path.uplink !== undefined;
    for (const chain of isOpen ? chains : [...chains].reverse()) {
      const rules = wanted.filter((rule) => rule.chain === chain);
      if (rules.length === 0) await this.#close(guest, chain);
      else await this.#open(guest, chain, rules);
    }
  }

  /** Idempotent. */
  async remove(holder: Holder): Promise<void> {
    // Without it none was ever made, or none can be seen.
    if ((await this.#commands.find("iptables")) === undefined) return;
    for (const chain of [...chains].reverse()) await this.#close(holder, chain);
  }

  /** VMs of this install that there are rules of. */
  async holders(tag: string): Promise<readonly string[]> {
    const lines = await this.#allLines();
    return lines.flatMap(({ line }) => idsIn(tag, [line]));
  }

  /** The command lines that remove a VM's rules. */
  async removalOf(holder: Holder): Promise<readonly string[]> {
    return (await this.#allLines())
      .filter(({ line }) => linesOf(holder, [line]).length > 0)
      .map(
        ({ chain, line }) =>
          `iptables -t ${chain.table} ${line.replace(/^-A/, "-D")}`,
      );
  }

  async #allLines(): Promise<{ chain: Chain; line: string }[]> {
    if ((await this.#commands.find("iptables")) === undefined) return [];
    const found: { chain: Chain; line: string }[] = [];
    for (const chain of chains)
      for (const line of (await this.#iptables.list(chain)) ?? [])
        found.push({ chain, line });
    return found;
  }

  async #open(
    guest: Guest,
    chain: Chain,
    rules: readonly Rule[],
  ): Promise<void> {
    const lines = await this.#iptables.list(chain);
    const present = linesOf(guest, lines ?? []);
    if (lines === undefined) await this.#iptables.ensureChain(chain);
    for (const rule of rules)
      if (!present.includes(rule.line)) await this.#iptables.add(rule);
    // After the rules: whoever removes an empty chain now finds it in use.
    await this.#iptables.ensureJump(chain);
    for (const line of present)
      if (!rules.some((rule) => rule.line === line))
        await this.#iptables.remove(chain, line);
  }

  async #close(holder: Holder, chain: Chain): Promise<void> {
    const all = await this.#iptables.list(chain);
    if (all === undefined) return;
    for (const line of linesOf(holder, all))
      await this.#iptables.remove(chain, line);
    await this.#removeEmpty(chain);
  }

  async #removeEmpty(chain: Chain): Promise<void> {
    const lines = await this.#iptables.list(chain);
    if (lines === undefined || lines.length > 0) return;
    await this.#iptables.removeJump(chain);
    if (await this.#iptables.removeChain(chain)) return;
    // Another daemon has put a rule there meanwhile, and counts on the jump.
    await this.#iptables.ensureJump(chain);
  }
}
