import { forwardMark, type VmRecord } from "@banger/core";

/** A chain of our own and the chain of the kernel's that sends packets there. */
export interface Chain {
  readonly table: "filter" | "nat" | "mangle";
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

const markChain: Chain = {
  table: "mangle",
  name: "BANGER-FORWARD",
  from: "FORWARD",
};

/** In the order in which a way out is opened: what leaves is translated from the first packet on, and the network lets it out last. */
export const chains: readonly Chain[] = [
  translateChain,
  forwardChain,
  markChain,
];

/** A rule, written as `iptables -S` prints it, so that what is there can be compared with what should be. */
export interface Rule {
  readonly chain: Chain;
  /** `-A CHAIN …` */
  readonly line: string;
}

/** Where the packets of one VM go. */
export interface Path {
  readonly bridge: string;
  /** the host's way out; absent when it has none */
  readonly uplink: string | undefined;
}

/**
 * The rules of one VM: none without NAT, as the network itself drops what is not marked. Pure.
 * With NAT the guest's own address may leave by the uplink, and what belongs to its connections come back. The mark gets it past the
 * network's fence, the ACCEPT past a host that drops what it forwards. That an address is the guest's the network mode sees to.
 */
export function rulesOf(vm: VmRecord, { bridge, uplink }: Path): Rule[] {
  if (!vm.spec.nat || uplink === undefined) return [];
  const rule = (chain: Chain, match: string, target: string): Rule => ({
    chain,
    line: `-A ${chain.name} ${match} -m comment --comment ${commentOf(vm)} -j ${target}`,
  });
  const guest = `${vm.runtime.guestIp}/32`;
  const known = "-m conntrack --ctstate RELATED,ESTABLISHED";
  const there = `-s ${guest} -i ${bridge} -o ${uplink}`;
  const back = `-d ${guest} -i ${uplink} -o ${bridge} ${known}`;
  const bit = `0x${forwardMark.toString(16)}`;
  const mark = `MARK --set-xmark ${bit}/${bit}`;
  return [
    rule(translateChain, `-s ${guest} -o ${uplink}`, "MASQUERADE"),
    rule(forwardChain, there, "ACCEPT"),
    rule(forwardChain, back, "ACCEPT"),
    rule(markChain, there, mark),
    rule(markChain, back, mark),
  ];
}

/** The lines of `iptables -S CHAIN` that are rules of this VM. Pure. */
export function linesOf(
  vm: Pick<VmRecord, "id">,
  lines: readonly string[],
): readonly string[] {
  return lines.filter((line) => line.split(" ").includes(commentOf(vm)));
}

/** The bridges from which these rules let guests out. Pure. */
export function openBridges(lines: readonly string[]): readonly string[] {
  const names = lines
    .filter((line) => line.endsWith(" -j ACCEPT"))
    .flatMap((line) => / -s \S+ -i (\S+) -o /.exec(line)?.[1] ?? []);
  return [...new Set(names)];
}

/** Without white space, so that iptables never quotes it. */
function commentOf({ id }: Pick<VmRecord, "id">): string {
  return `banger-${id}`;
}
