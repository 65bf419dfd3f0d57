import {
  BangerError,
  isBangerError,
  type Check,
  type CommandRunner,
  type Finding,
  type HostFacts,
  type Logger,
  type VmRecord,
} from "@banger/core";
import type { EgressMode } from "./egress-mode.js";
import { BridgeRules } from "./bridge-rules.js";
import { lowestMetric, masterOf } from "./ip-output.js";

/** Netlink answers at once, ms. */
const timeoutMs = 5_000;

/** The programs of Debian's packages iptables, iproute2 and procps. */
const programs = ["iptables", "ip", "sysctl"];

/** The VM's TAP device is no port of a bridge, so there is nothing to open. */
class NatBridgeError extends BangerError {
  override readonly code = "ERR_NAT_BRIDGE";
  constructor(vmName: string, device: string) {
    super(`${device}, the TAP device of ${vmName}, is no port of a bridge`, {
      hint: `Stop and start it: banger vm stop ${vmName} && banger vm start ${vmName}`,
    });
  }
}

/**
 * Guests on a bridge of the host: the kernel forwards and translates. Rules are iptables', as they are also obeyed where other software
 * has made the host drop what it forwards: an "accept" of another nftables table would not be the last word.
 */
export class BridgeEgress implements EgressMode {
  readonly mode = "bridge";
  readonly summary =
    "the kernel forwards and translates, by iptables rules in chains of our own (BANGER-FORWARD, BANGER-POSTROUTING), past the fence of the network";
  readonly fixedBecause = "the network mode does not allow it";
  readonly #commands: CommandRunner;
  readonly #isRoot: boolean;
  readonly #rules: BridgeRules;

  constructor({
    commands,
    hostFacts,
  }: {
    readonly commands: CommandRunner;
    readonly hostFacts: Pick<HostFacts, "isRoot">;
  }) {
    this.#commands = commands;
    this.#isRoot = hostFacts.isRoot;
    this.#rules = new BridgeRules(commands);
  }

  async findUplink(signal: AbortSignal): Promise<string | undefined> {
    return lowestMetric(
      await this.#ask(["-4", "route", "show", "default"], signal),
    );
  }

  async findings(): Promise<readonly Finding[]> {
    const problem = await this.#problem();
    if (problem === undefined) return [];
    const { detail: message, fix } = problem;
    return [{ id: "nat.firewall", severity: "error", message, fix }];
  }

  async apply(vm: VmRecord, signal: AbortSignal): Promise<void> {
    const { tapDevice = "" } = vm.runtime;
    const args = ["link", "show", "dev", tapDevice];
    const bridge = masterOf(await this.#ip(args, signal));
    if (bridge === undefined) throw new NatBridgeError(vm.name, tapDevice);
    const uplink = vm.spec.nat ? await this.findUplink(signal) : undefined;
    await this.#rules.ensure(vm, { bridge, uplink }, signal);
  }

  async remove(
    vm: VmRecord,
    logger: Logger,
    signal: AbortSignal,
  ): Promise<void> {
    // Without it none was ever made, or none can be seen.
    if ((await this.#commands.find("iptables")) === undefined) {
      logger.debug("No firewall rules to remove: iptables is not installed");
      return;
    }
    await this.#rules.remove(vm, signal);
  }

  async check(signal: AbortSignal): Promise<Check> {
    const check = { id: "nat.firewall", title: "firewall and forwarding" };
    const problem = await this.#problem();
    if (problem !== undefined) return { ...check, status: "fail", ...problem };
    const args = ["-n", "net.ipv4.ip_forward"];
    const base = { file: "sysctl", timeoutMs, signal };
    const { stdout } = await this.#commands.run({ ...base, args });
    const state =
      stdout.trim() === "1"
        ? "on"
        : "off; the first VM with NAT switches it on";
    return {
      ...check,
      status: "pass",
      detail: `iptables is there; IPv4 forwarding of the host is ${state}`,
    };
  }

  async #problem(): Promise<
    { readonly detail: string; readonly fix: string } | undefined
  > {
    const found = await Promise.all(
      programs.map((program) => this.#commands.find(program)),
    );
    const missing = programs.filter((_, index) => found[index] === undefined);
    if (missing.length > 0)
      return {
        detail: `missing for guests on a bridge: ${missing.join(", ")}`,
        fix: "apt-get install -y --no-install-recommends iptables iproute2 procps",
      };
    if (this.#isRoot) return undefined;
    return {
      detail: "firewall rules for guests on a bridge need root",
      fix: 'Set mode = "user" in section [network] of the configuration, or run banger as root',
    };
  }

  /** What `ip` prints; nothing when it is missing or fails, which both mean "none such". */
  async #ask(args: readonly string[], signal: AbortSignal): Promise<string> {
    try {
      return await this.#ip(args, signal);
    } catch (error) {
      const expected = ["ERR_TOOL_MISSING", "ERR_COMMAND_FAILED"];
      if (isBangerError(error) && expected.includes(error.code)) return "";
      throw error;
    }
  }

  async #ip(args: readonly string[], signal: AbortSignal): Promise<string> {
    const base = { file: "ip", timeoutMs, signal };
    const result = await this.#commands.run({
      ...base,
      args: ["-json", ...args],
    });
    return result.stdout;
  }
}
