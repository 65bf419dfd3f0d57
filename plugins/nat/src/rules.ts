import type { VmRecord } from "@banger/core";

/** A chain of our own and the chain of the kernel's that sends packets there. */
export interface Chain {
  readonly table: "filter" | "nat";
  readonly name: string;
  readonly from: string;
}

export const forwardChain: Chain = {
  table: "filter",
  name: "BANGER-FORWARD",
  from: "FORWARD",
};

const translateChain: Chain = {
  table: "nat",
  name: "BANGER-POSTROUTING",
  from: "POSTROUTING",
};

/** In the order in which a way out is opened: what leaves is translated from the first packet on. */
export const chains: readonly Chain[] = [translateChain, forwardChain];

/** A rule, written as `iptables -S` prints it, so that what is there can be compared with what should be. */
export interface Rule {
  readonly chain: Chain;
  /** `-A CHAIN …` */
  readonly line: string;
  /** before or after the rules that are there */
  readonly place: "first" | "last";
}

/** Where the packets of one VM go. */
export interface Path {
  readonly bridge: string;
  /** the host's way out; absent when it has none */
  readonly uplink: string | undefined;
}

/**
 * The rules of one VM, those that close first. Pure.
 * Every VM of a bridge closes the whole bridge, so that it stays closed until the last one is gone: from it and to it only what an
 * earlier rule accepts; between two guests of it is no matter of theirs. With NAT the guest's own address may leave by the uplink, and
 * what belongs to its connections come back. That an address is the guest's the network mode sees to.
 */
export function rulesOf(vm: VmRecord, { bridge, uplink }: Path): Rule[] {
  const rule = (
    chain: Chain,
    place: Rule["place"],
    match: string,
    target: string,
  ): Rule => ({
    chain,
    place,
    line: `-A ${chain.name} ${match} -m comment --comment ${commentOf(vm)} -j ${target}`,
  });
  const closed = [
    rule(forwardChain, "last", `-i ${bridge} ! -o ${bridge}`, "DROP"),
    rule(forwardChain, "last", `! -i ${bridge} -o ${bridge}`, "DROP"),
  ];
  if (!vm.spec.nat || uplink === undefined) return closed;
  const guest = `${vm.runtime.guestIp}/32`;
  const known = "-m conntrack --ctstate RELATED,ESTABLISHED";
  return [
    ...closed,
    rule(translateChain, "last", `-s ${guest} -o ${uplink}`, "MASQUERADE"),
    rule(
      forwardChain,
      "first",
      `-d ${guest} -i ${uplink} -o ${bridge} ${known}`,
      "ACCEPT",
    ),
    rule(
      forwardChain,
      "first",
      `-s ${guest} -i ${bridge} -o ${uplink}`,
      "ACCEPT",
    ),
  ];
}

/** The lines of `iptables -S CHAIN` that are rules of this VM. Pure. */
export function linesOf(
  vm: Pick<VmRecord, "id">,
  lines: readonly string[],
): readonly string[] {
  return lines.filter((line) => line.split(" ").includes(commentOf(vm)));
}

/** Is this a rule that closes a bridge? Pure. */
export function closes(line: string): boolean {
  return line.endsWith(" -j DROP");
}

/** The bridges that these rules close. Pure. */
export function closedBridges(lines: readonly string[]): readonly string[] {
  const names = lines
    .filter(closes)
    .flatMap((line) => / -i (\S+) ! -o \1 /.exec(line)?.[1] ?? []);
  return [...new Set(names)];
}

/** Does one of these rules let a guest of the bridge out? Pure. */
export function isOpen(bridge: string, lines: readonly string[]): boolean {
  return lines.some(
    (line) => line.includes(` -i ${bridge} `) && line.endsWith(" -j ACCEPT"),
  );
}

/** Without white space, so that iptables never quotes it. */
function commentOf({ id }: Pick<VmRecord, "id">): string {
  return `banger-${id}`;
}
