import type { Guest, Path } from "./guest.js";
import { commentOf, isCommentOf, type Holder } from "./rule-names.js";

/** A chain of our own and the chain of the kernel's that sends packets there. */
export interface Chain {
  readonly table: "filter" | "nat" | "mangle";
  readonly name: string;
  readonly from: string;
}

const translateChain: Chain = {
  table: "nat",
  name: "BANGER-POSTROUTING",
  from: "POSTROUTING",
};

const forwardChain: Chain = {
  table: "filter",
  name: "BANGER-FORWARD",
  from: "FORWARD",
};

/** Where the first release set the mark; rules are only removed from it. */
const formerMarkChain: Chain = {
  table: "mangle",
  name: "BANGER-FORWARD",
  from: "FORWARD",
};

/** In the order in which a way out is opened: what leaves is translated from the first packet on. */
export const chains: readonly Chain[] = [
  translateChain,
  forwardChain,
  formerMarkChain,
];

/** A rule, written as `iptables -S` prints it, so that what is there can be compared with what should be. */
export interface Rule {
  readonly chain: Chain;
  /** `-A CHAIN …` */
  readonly line: string;
}

/**
 * The rules of one guest. Pure. With an uplink the guest's own address may leave by it, and what belongs to its connections come back. With
 * a filtered bridge the guest may send to the others of it. They let pass what nothing else may drop; which packets that are our nftables
 * table decides, by the mark, and on the bridge the network, which has dropped before what an isolated guest sends.
 */
export function rulesOf(
  guest: Guest,
  { bridge, uplink, isFiltered }: Path & { readonly isFiltered: boolean },
): readonly Rule[] {
  const rule = (chain: Chain, match: string, to: string): Rule => ({
    chain,
    line: `-A ${chain.name} ${match} -m comment --comment ${commentOf(guest, guest.tapDevice)} -j ${to}`,
  });
  const address = `${guest.guestIp}/32`;
  const wayOut =
    uplink === undefined
      ? []
      : [
          rule(translateChain, `-s ${address} -o ${uplink}`, "MASQUERADE"),
          rule(
            forwardChain,
            `-s ${address} -i ${bridge} -o ${uplink}`,
            "ACCEPT",
          ),
          rule(
            forwardChain,
            `-d ${address} -i ${uplink} -o ${bridge} -m conntrack --ctstate RELATED,ESTABLISHED`,
            "ACCEPT",
          ),
        ];
  if (!isFiltered) return wayOut;
  const stay = `-s ${address} -i ${bridge} -o ${bridge}`;
  return [...wayOut, rule(forwardChain, stay, "ACCEPT")];
}

/** The lines of `iptables -S CHAIN` that are rules of this VM. Pure. */
export function linesOf(
  holder: Holder,
  lines: readonly string[],
): readonly string[] {
  return lines.filter((line) =>
    line.split(" ").some((word) => isCommentOf(holder, word)),
  );
}

/** The VMs of an install that lines of `iptables -S` are about. Pure. */
export function idsIn(tag: string, lines: readonly string[]): string[] {
  return lines.flatMap((line) => {
    const [, id, owner] =
      / --comment banger-([0-9a-f]{12})-\S+-([0-9a-f]{8}) /.exec(line) ?? [];
    return id !== undefined && owner === tag ? [id] : [];
  });
}
