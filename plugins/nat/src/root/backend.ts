import type { CommandRunner } from "@banger/core";
import { Iptables } from "./iptables.js";

/** Which of the kernel's two kinds of rules let a guest's packets pass and translate them. */
export type Backend = "iptables" | "nftables";

/** Programs whose rules are iptables' and that may drop what the host forwards, as soon as they are started. */
const users = ["dockerd", "ufw"];

/** Chains of the kernel's that say whether somebody uses iptables for what is forwarded. */
const looked = [
  ["filter", "FORWARD"],
  ["nat", "POSTROUTING"],
  ["nat", "PREROUTING"],
] as const;

/**
 * What the host itself uses: iptables where somebody has rules of it that packets of guests meet, or a policy, as an accept of another
 * table is no help there; else nftables, which network mode `bridge` needs in any case. Reads only.
 */
export async function findBackend(
  commands: CommandRunner,
  signal: AbortSignal,
): Promise<Backend> {
  if ((await commands.find("iptables")) === undefined) return "nftables";
  const iptables = new Iptables(commands, signal);
  for (const [table, chain] of looked) {
    const lines = await iptables.listBuiltIn(table, chain);
    if (lines === undefined) return "nftables";
    if (lines.some((line) => isOfOthers(line, chain))) return "iptables";
  }
  const found = await Promise.all(users.map((user) => commands.find(user)));
  return found.some((path) => path !== undefined) ? "iptables" : "nftables";
}

/** Do rules or a policy of others decide what is forwarded? Reads only. */
export async function othersForward(
  commands: CommandRunner,
  signal: AbortSignal,
): Promise<boolean> {
  if ((await commands.find("iptables")) === undefined) return false;
  const iptables = new Iptables(commands, signal);
  const lines = (await iptables.listBuiltIn("filter", "FORWARD")) ?? [];
  return lines.some((line) => isOfOthers(line, "FORWARD"));
}

/** Pure. */
function isOfOthers(line: string, chain: string): boolean {
  return line !== `-P ${chain} ACCEPT` && !/ -j BANGER-[A-Z]+$/.test(line);
}
