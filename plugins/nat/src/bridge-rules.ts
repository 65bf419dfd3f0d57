import { KeyedLock, type CommandRunner, type VmRecord } from "@banger/core";
import { Iptables } from "./iptables.js";
import {
  chains,
  closedBridges,
  closes,
  forwardChain,
  isOpen,
  linesOf,
  rulesOf,
  type Chain,
  type Path,
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

  /** Brings the rules of this VM to what its record wants, what closes first. Idempotent. */
  async ensure(vm: VmRecord, path: Path, signal: AbortSignal): Promise<void> {
    const wanted = rulesOf(vm, path);
    await this.#lock.run("rules", signal, async () => {
      for (const chain of vm.spec.nat ? chains : [...chains].reverse()) {
        const rules = wanted.filter((rule) => rule.chain === chain);
        const lines = await this.#iptables.list(chain, signal);
        const present = linesOf(vm, lines ?? []);
        if (rules.length === 0 && present.length === 0) continue;
        if (lines === undefined)
          await this.#iptables.ensureChain(chain, signal);
        for (const rule of rules)
          if (!present.includes(rule.line))
            await this.#iptables.add(rule, signal);
        // After the rules: whoever removes an empty chain now finds it in use.
        if (rules.length > 0) await this.#iptables.ensureJump(chain, signal);
        for (const line of present)
          if (!rules.some((rule) => rule.line === line))
            await this.#iptables.remove(chain, line, signal);
        if (rules.length === 0) await this.#removeEmpty(chain, signal);
      }
      await this.#setForwarding(path.bridge, signal);
    });
  }

  /** Removes every rule of this VM. Idempotent. */
  async remove(vm: Pick<VmRecord, "id">, signal: AbortSignal): Promise<void> {
    await this.#lock.run("rules", signal, async () => {
      for (const chain of [...chains].reverse()) {
        const lines = await this.#iptables.list(chain, signal);
        if (lines === undefined) continue;
        const present = linesOf(vm, lines);
        for (const line of present.filter((one) => !closes(one)))
          await this.#iptables.remove(chain, line, signal);
        for (const bridge of closedBridges(present))
          await this.#setForwarding(bridge, signal);
        for (const line of present.filter(closes))
          await this.#iptables.remove(chain, line, signal);
        await this.#removeEmpty(chain, signal);
      }
    });
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
   * The kernel forwards from the bridge while one of its guests may leave. The host's own switch is never taken back: others may count
   * on it.
   */
  async #setForwarding(bridge: string, signal: AbortSignal): Promise<void> {
    const lines = (await this.#iptables.list(forwardChain, signal)) ?? [];
    const ofBridge = `net.ipv4.conf.${bridge}.forwarding`;
    const values = isOpen(bridge, lines)
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
