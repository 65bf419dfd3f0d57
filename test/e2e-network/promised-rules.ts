import { createHash } from "node:crypto";
import { macAddress, type VmRecord } from "@banger/core";

/** What the rules of one host depend on; the names stand in plugins/nat/README.md and docs/privileges.md. */
export interface RulesOfHost {
  /** of the install; its tag is in the names */
  readonly stateDirectory: string;
  readonly dnsPort: number;
  readonly uplink: string;
  /** what translates, and gets packets past other firewalls */
  readonly backend: "nftables" | "iptables";
  /** does iptables decide about frames between two ports of a bridge? */
  readonly filtersBridges: boolean;
  /** guests with NAT, and those without */
  readonly open: readonly VmRecord[];
  readonly closed: readonly VmRecord[];
}

const bridge = "br-fc";
const gateway = "172.16.0.1";
const subnet = "172.16.0.0/24";

/** Everything that nftables has, as nft(8) reads it. Pure. */
export function promisedTables(host: RulesOfHost): string {
  const guests = [...host.open, ...host.closed];
  return [
    fence(),
    ...guests.map(guard),
    redirect(host.dnsPort),
    natTable(host),
  ].join("\n");
}

/** Every rule and chain of iptables, by table, as iptables-save(8) prints them; without counters, in no order. Pure. */
export function promisedIptables(host: RulesOfHost): readonly string[] {
  if (host.backend === "nftables") return [];
  const { uplink } = host;
  const match = (vm: VmRecord): string =>
    `-m comment --comment ${commentOf(host, vm)} -j`;
  const known = "-m conntrack --ctstate RELATED,ESTABLISHED";
  return [
    "filter :BANGER-FORWARD -",
    "filter -A FORWARD -j BANGER-FORWARD",
    ...host.open.flatMap((vm) => {
      const address = `${vm.runtime.guestIp}/32`;
      return [
        `filter -A BANGER-FORWARD -s ${address} -i ${bridge} -o ${uplink} ${match(vm)} ACCEPT`,
        `filter -A BANGER-FORWARD -d ${address} -i ${uplink} -o ${bridge} ${known} ${match(vm)} ACCEPT`,
      ];
    }),
    ...(host.filtersBridges ? [...host.open, ...host.closed] : []).map(
      (vm) =>
        `filter -A BANGER-FORWARD -s ${vm.runtime.guestIp}/32 -i ${bridge} -o ${bridge} ${match(vm)} ACCEPT`,
    ),
    "nat :BANGER-POSTROUTING -",
    "nat -A POSTROUTING -j BANGER-POSTROUTING",
    ...host.open.map(
      (vm) =>
        `nat -A BANGER-POSTROUTING -s ${vm.runtime.guestIp}/32 -o ${uplink} ${match(vm)} MASQUERADE`,
    ),
  ];
}

/** Drops what is forwarded from or to the bridge without the mark. */
function fence(): string {
  return `table inet banger-${bridge} {
  chain pass {
    meta mark & 0x1000 == 0 drop
    meta mark set meta mark & 0xffffefff
  }
  chain arrive {
    type filter hook forward priority -151; policy accept;
    iifname "${bridge}" meta mark set meta mark & 0xffffefff
    oifname "${bridge}" meta mark set meta mark & 0xffffefff
  }
  chain leave {
    type filter hook forward priority -149; policy accept;
    iifname "${bridge}" oifname "${bridge}" accept
    iifname "${bridge}" goto pass
    oifname "${bridge}" goto pass
  }
}`;
}

/** Lets nothing through a TAP device but its guest's own addresses. */
function guard(vm: VmRecord): string {
  const { tapDevice = "", guestIp } = vm.runtime;
  const mac = macAddress(vm.id);
  return `table netdev banger-${tapDevice} {
  chain guest {
    type filter hook ingress device "${tapDevice}" priority 0; policy drop;
    ether saddr ${mac} ip saddr ${guestIp} accept
    ether saddr ${mac} arp saddr ether ${mac} arp saddr ip { 0.0.0.0, ${guestIp} } accept
  }
}`;
}

/** Leads guests' questions to the server of names. */
function redirect(port: number): string {
  const target = `${gateway}:${port}`;
  return `table ip banger-dns-${bridge} {
  set asking { type ipv4_addr; size 65535; flags dynamic,timeout; timeout 10s; }
  chain slow {
    type filter hook prerouting priority -300; policy accept;
    iifname "${bridge}" ip daddr ${gateway} udp dport { 53, ${port} } update @asking { ip saddr limit rate over 1000/second burst 100 packets } drop
  }
  chain lead {
    type nat hook prerouting priority -100; policy accept;
    iifname "${bridge}" ip daddr ${gateway} udp dport 53 dnat to ${target}
    iifname "${bridge}" ip daddr ${gateway} tcp dport 53 dnat to ${target}
  }
  chain own {
    type filter hook input priority 0; policy accept;
    iifname != { "${bridge}", "lo" } ip daddr ${gateway} meta l4proto { tcp, udp } th dport ${port} drop
  }
}`;
}

/** Decides what of a guest's packets gets the mark, notes what does not, and translates where iptables does not. */
function natTable(host: RulesOfHost): string {
  const translates = host.backend === "nftables";
  const suffix = (vm: VmRecord): string => `${tagOf(host)}-${vm.id}`;
  const key = ({ runtime }: VmRecord): string =>
    `"${bridge}" . ${runtime.guestIp}`;
  const map = (name: string, type: string, elements: readonly string[]) =>
    `map ${name} { type ${type} : verdict; ${elements.length > 0 ? `elements = { ${elements.join(", ")} }` : ""} }`;
  const guestMap = (name: string, vms: readonly VmRecord[], chain: string) =>
    map(
      name,
      "ifname . ipv4_addr",
      vms.map((vm) => `${key(vm)} : goto ${chain}-${suffix(vm)}`),
    );
  const leave = (vm: VmRecord): string =>
    `${vm.runtime.guestIp} : goto leave-${suffix(vm)}`;
  const refusals = (vm: VmRecord): string => {
    const comment = `comment "${commentOf(host, vm)}"`;
    return `meta l4proto { tcp, udp } update @refused-${suffix(vm)} { ip daddr . meta l4proto . th dport counter } goto refused ${comment}
    update @unported-${suffix(vm)} { ip daddr . meta l4proto counter } goto refused ${comment}
    goto refused ${comment}`;
  };
  const rest = "size 1024; flags dynamic,timeout; timeout 1h;";
  return `table inet banger-nat {
  chain forwarding-was-off { }
  chain pass { meta mark set meta mark | 0x1000; }
  chain refused { drop; }
  ${[...host.open, ...host.closed]
    .map(
      (
        vm,
      ) => `set refused-${suffix(vm)} { type ipv4_addr . inet_proto . inet_service; ${rest} }
  set unported-${suffix(vm)} { type ipv4_addr . inet_proto; ${rest} }`,
    )
    .join("\n  ")}
  ${host.open
    .map(
      (vm) => `chain vm-${suffix(vm)} {
    oifname "${bridge}" return
    oifname "${host.uplink}" goto pass comment "${commentOf(host, vm)}"
    ${refusals(vm)}
  }
  chain back-${suffix(vm)} {
    iifname "${host.uplink}" ct state established,related goto pass comment "${commentOf(host, vm)}"
  }
  ${translates ? `chain leave-${suffix(vm)} { oifname "${host.uplink}" masquerade comment "${commentOf(host, vm)}"; }` : ""}`,
    )
    .join("\n  ")}
  ${host.closed
    .map(
      (vm) => `chain vm-${suffix(vm)} {
    fib daddr type { local, broadcast, multicast } return
    ip daddr ${subnet} return
    ${refusals(vm)}
  }`,
    )
    .join("\n  ")}
  ${guestMap("leaving", host.open, "vm")}
  ${guestMap("returning", host.open, "back")}
  ${guestMap("closed", host.closed, "vm")}
  ${map("translated", "ipv4_addr", translates ? host.open.map(leave) : [])}
  chain prerouting {
    type filter hook prerouting priority mangle; policy accept;
    iifname . ip saddr vmap @closed
  }
  chain forward {
    type filter hook forward priority mangle; policy accept;
    iifname . ip saddr vmap @leaving
    oifname . ip daddr vmap @returning
  }
  ${
    translates
      ? `chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr vmap @translated
  }`
      : ""
  }
}`;
}

/** Eight digits that tell the installs of one host apart. */
function tagOf({ stateDirectory }: RulesOfHost): string {
  return createHash("sha256").update(stateDirectory).digest("hex").slice(0, 8);
}

function commentOf(host: RulesOfHost, { id, runtime }: VmRecord): string {
  return `banger-${id}-${runtime.tapDevice ?? ""}-${tagOf(host)}`;
}
