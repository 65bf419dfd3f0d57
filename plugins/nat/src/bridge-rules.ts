import { KeyedLock, type CommandRunner, type VmRecord } from "@banger/core";
import { Iptables } from "./iptables.js";
import {
  chains,
  forwardChain,
  linesOf,
  openBridges,
  rulesOf,
  type Chain,
  type Path,
  type Rule,
} from "./rules.js";

/**
 * The rules of each VM in chains of our own. Chains and their jumps come with the first VM and go with the last; what belongs to a VM is
 * found by the comment on it, so that removal needs its id alone.
 */
export class BridgeRules {
  readonly #iptables: Iptables;
  readonly #commands: CommandRunner;
  /** What is listed must still be so when it is changed. Another daemon's changes are met by the order of the steps. */
  readonly #lock = new KeyedLock();

  constructor(commands: CommandRunner) {
    this.#commands = commands;
    this.#iptables = new Iptables(commands);
  }

  /** Brings the rules of this VM to what its record wants. Idempotent. */
  async ensure(vm: VmRecord, path: Path, signal: AbortSignal): Promise<void> {
    const wanted = rulesOf(vm, path);
    await this.#lock.run("rules", signal, async () => {
      if (wanted.length === 0) await this.#close(vm, signal);
      else await this.#open(vm, wanted, signal);
      await this.#setForwarding(path.bridge, [], signal);
    });
  }

  /** Removes every rule of this VM. Idempotent. */
  async remove(vm: Pick<VmRecord, "id">, signal: AbortSignal): Promise<void> {
    await this.#lock.run("rules", signal, () => this.#close(vm, signal));
  }

  async #open(
    vm: VmRecord,
    wanted: readonly Rule[],
    signal: AbortSignal,
  ): Promise<void> {
    for (const chain of chains) {
      const rules = wanted.filter((rule) => rule.chain === chain);
      const lines = await this.#iptables.list(chain, signal);
      const present = linesOf(vm, lines ?? []);
      if (lines === undefined) await this.#iptables.ensureChain(chain, signal);
      for (const rule of rules)
        if (!present.includes(rule.line))
          await this.#iptables.add(rule, signal);
      // After the rules: whoever removes an empty chain now finds it in use.
      await this.#iptables.ensureJump(chain, signal);
      for (const line of present)
        if (!rules.some((rule) => rule.line === line))
          await this.#iptables.remove(chain, line, signal);
    }
  }

  async #close(vm: Pick<VmRecord, "id">, signal: AbortSignal): Promise<void> {
    // While its rules still say which bridges they open: whoever ends in between leaves what the next one goes by.
    const lines = (await this.#iptables.list(forwardChain, signal)) ?? [];
    const present = linesOf(vm, lines);
    for (const bridge of openBridges(present))
      await this.#setForwarding(bridge, present, signal);
    for (const chain of [...chains].reverse()) {
      const all = await this.#iptables.list(chain, signal);
      if (all === undefined) continue;
      const own = linesOf(vm, all);
      for (const line of own) await this.#iptables.remove(chain, line, signal);
      await this.#removeEmpty(chain, signal);
    }
  }

  async #removeEmpty(chain: Chain, signal: AbortSignal): Promise<void> {
    const lines = await this.#iptables.list(chain, signal);
    if (lines === undefined || lines.length > 0) return;
    await this.#iptables.removeJump(chain, signal);
    if (await this.#iptables.removeChain(chain, signal)) return;
    // Another daemon has put a rule there meanwhile, and counts on the jump.
    await this.#iptables.ensureJump(chain, signal);
  }

  /**
   * The kernel forwards from the bridge while one of its guests may leave by a rule that is not about to go. The host's own switch is never taken back: others may count
   * on it.
   */
  async #setForwarding(
    bridge: string,
    going: readonly string[],
    signal: AbortSignal,
  ): Promise<void> {
    const all = (await this.#iptables.list(forwardChain, signal)) ?? [];
    const lines = all.filter((line) => !going.includes(line));
    const ofBridge = `net.ipv4.conf.${bridge}.forwarding`;
    const values = openBridges(lines).includes(bridge)
      ? ["net.ipv4.ip_forward=1", `${ofBridge}=1`]
      : [`${ofBridge}=0`];
    await this.#commands.run({
      file: "sysctl",
      // `-e`: the bridge may be gone.
      args: ["-e", "-q", "-w", ...values],
      timeoutMs: 10_000,
      signal,
    });
  }
}
