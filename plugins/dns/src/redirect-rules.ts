/** Where guests' questions are led. */
export interface Redirect {
  readonly bridge: string;
  /** the host's IPv4 address on it */
  readonly gateway: string;
  readonly port: number;
}

/**
 * Questions of one guest, a second and at once, that reach the server; a resolver asks a few at a time. A socket holds some 250 of them
 * (net.core.rmem_default), and they are to leave room for those of other guests.
 */
const packetsPerSecond = 1_000;
const packetsAtOnce = 100;

/** Our table of nftables' family `ip` for a bridge. Pure. */
export function tableName(bridge: string): string {
  return `banger-dns-${bridge}`;
}

/** The lines that delete the table, also when there is none. Pure. */
export function renderRemoval(bridge: string): string {
  const table = tableName(bridge);
  // Made first, as only what exists can be deleted.
  return `table ip ${table}\ndelete table ip ${table}\n`;
}

/**
 * The transaction that replaces the table. Pure. `slow` keeps one guest from filling the socket that all of them ask; `lead` is there as
 * the daemon cannot have port 53; `own` keeps the socket to the bridge and this host, as Linux hands a packet to any address of the host
 * whatever device it came from.
 */
export function renderRedirect({ bridge, gateway, port }: Redirect): string {
  const target = `${gateway}:${String(port)}`;
  const ports = port === 53 ? "53" : `{ 53, ${String(port)} }`;
  return `${renderRemoval(bridge)}table ip ${tableName(bridge)} {
  set asking {
    type ipv4_addr
    size 65535
    flags dynamic,timeout
    timeout 10s
  }
  chain slow {
    type filter hook prerouting priority -300; policy accept;
    iifname "${bridge}" ip daddr ${gateway} udp dport ${ports} update @asking { ip saddr limit rate over ${String(packetsPerSecond)}/second burst ${String(packetsAtOnce)} packets } drop
  }
  chain lead {
    type nat hook prerouting priority -100; policy accept;
    iifname "${bridge}" ip daddr ${gateway} udp dport 53 dnat to ${target}
    iifname "${bridge}" ip daddr ${gateway} tcp dport 53 dnat to ${target}
  }
  chain own {
    type filter hook input priority 0; policy accept;
    iifname != { "${bridge}", "lo" } ip daddr ${gateway} meta l4proto { tcp, udp } th dport ${String(port)} drop
  }
}
`;
}
