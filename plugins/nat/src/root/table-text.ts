import { forwardMark } from "@banger/core";
import type { Guest, Opening, Path, Permit } from "./guest.js";
import { commentOf, namesOf, type Holder } from "./rule-names.js";

/** Our table; `inet`, as the network's fence is. */
export const tableName = "banger-nat";
const table = `inet ${tableName}`;

/** Its maps: which chain of a guest a packet is for. */
export const mapNames = [
  "leaving",
  "returning",
  "closed",
  "translated",
] as const;
type MapName = (typeof mapNames)[number];

/** Refusals that are remembered for each guest, and for how long: a guest may try any number of addresses. */
const mostRefusals = 1024;
export const refusalSeconds = 3600;

/** An element of one of our maps, as it is written: the key's parts. */
export interface MapKey {
  readonly map: MapName;
  readonly key: readonly string[];
}

/**
 * The table without any guest. Pure. Chains are filled anew, so that twice is like once. The mark is set at the priority of mangle, where the
 * fence of the network expects it. A guest that may not leave is met before the kernel looks for a route: it need not forward for that.
 */
export function renderTable(translates: boolean): readonly string[] {
  const bit = `0x${forwardMark.toString(16)}`;
  const key = "type ifname . ipv4_addr : verdict;";
  const base = [
    ["prerouting", "iifname . ip saddr vmap @closed"],
    ["forward", "iifname . ip saddr vmap @leaving"],
    ["forward", "oifname . ip daddr vmap @returning"],
    ...(translates ? [["postrouting", "ip saddr vmap @translated"]] : []),
  ];
  return [
    `add table ${table}`,
    ...["leaving", "returning", "closed"].map(
      (map) => `add map ${table} ${map} { ${key} }`,
    ),
    `add map ${table} translated { type ipv4_addr : verdict; }`,
    `add chain ${table} pass`,
    `add chain ${table} refused`,
    `add chain ${table} prerouting { type filter hook prerouting priority mangle; policy accept; }`,
    `add chain ${table} forward { type filter hook forward priority mangle; policy accept; }`,
    ...(translates
      ? [
          `add chain ${table} postrouting { type nat hook postrouting priority srcnat; policy accept; }`,
          `flush chain ${table} postrouting`,
        ]
      : []),
    ...["pass", "refused", "prerouting", "forward"].map(
      (chain) => `flush chain ${table} ${chain}`,
    ),
    `add rule ${table} pass meta mark set meta mark | ${bit}`,
    `add rule ${table} refused drop`,
    ...base.map(
      ([chain = "", rule = ""]) => `add rule ${table} ${chain} ${rule}`,
    ),
  ];
}

/**
 * What brings the rules of a guest to what is wanted. Pure. What it was refused and what names have opened for it stays.
 * @param present elements of ours that are in the way: the guest's own, and those of its address
 * @param translates does the table see to translation too?
 */
export function renderGuest(
  guest: Guest,
  path: Path,
  present: readonly MapKey[],
  translates: boolean,
): readonly string[] {
  const names = namesOf(guest);
  const { bridge, uplink } = path;
  const comment = `comment "${commentOf(guest, guest.tapDevice)}"`;
  const isOpen = uplink !== undefined;
  const byName = isOpen && guest.allow?.byName === true;
  const rule = (chain: string, text: string): string =>
    `add rule ${table} ${chain} ${text}`;
  const element = (map: MapName, key: string, chain: string): string =>
    `add element ${table} ${map} { ${key} : goto ${chain} }`;
  const own = `"${bridge}" . ${guest.guestIp}`;
  const chains = [
    names.out,
    ...(isOpen ? [names.back] : []),
    ...(isOpen && translates ? [names.leave] : []),
  ];
  const others = [names.out, names.back, names.leave].filter(
    (chain) => !chains.includes(chain),
  );
  return [
    ...present.map(renderRemovedKey),
    ...[...chains, ...others].flatMap((chain) => [
      `add chain ${table} ${chain}`,
      `flush chain ${table} ${chain}`,
    ]),
    ...others.map((chain) => `delete chain ${table} ${chain}`),
    ...renderRefusalSets(names),
    ...renderNameSets(names),
    ...(byName
      ? []
      : [
          `delete set ${table} ${names.hosts}`,
          `delete set ${table} ${names.services}`,
        ]),
    ...(isOpen
      ? renderWayOut(guest, path.bridge, uplink).map((text) =>
          rule(names.out, text),
        )
      : [
          // Answers to the host, and what stays between guests where frames of a bridge come here too (br_netfilter).
          "fib daddr type { local, broadcast, multicast } return",
          `ip daddr ${path.subnet} return`,
        ].map((text) => rule(names.out, text))),
    rule(
      names.out,
      `meta l4proto { tcp, udp } update @${names.refused} { ip daddr . meta l4proto . th dport counter } goto refused ${comment}`,
    ),
    // Also for what no longer fits into the first set, and for fragments.
    rule(
      names.out,
      `update @${names.unported} { ip daddr . meta l4proto counter } goto refused ${comment}`,
    ),
    rule(names.out, `goto refused ${comment}`),
    ...(isOpen
      ? [
          rule(
            names.back,
            `iifname "${uplink}" ct state established,related goto pass ${comment}`,
          ),
          element("leaving", own, names.out),
          element("returning", own, names.back),
          ...(translates
            ? [
                rule(names.leave, `oifname "${uplink}" masquerade ${comment}`),
                element("translated", guest.guestIp, names.leave),
              ]
            : []),
        ]
      : [element("closed", own, names.out)]),
  ];
}

/** What removes a VM's part of the table, which must exist. Pure. */
export function renderRemoval(
  holder: Holder,
  present: readonly MapKey[],
): readonly string[] {
  const names = namesOf(holder);
  const chains = [names.out, names.back, names.leave];
  const sets = [names.refused, names.unported, names.hosts, names.services];
  return [
    ...present.map(renderRemovedKey),
    // Made first, as only what exists can be deleted.
    ...chains.flatMap((chain) => [
      `add chain ${table} ${chain}`,
      `flush chain ${table} ${chain}`,
      `delete chain ${table} ${chain}`,
    ]),
    ...renderRefusalSets(names),
    ...renderNameSets(names),
    ...sets.map((set) => `delete set ${table} ${set}`),
  ];
}

/** What removes the table unless a guest is left in it: every guest's chain leads to `refused`, and the kernel deletes no chain in use. Pure. */
export function renderEmptyTableRemoval(): readonly string[] {
  return [
    `flush chain ${table} refused`,
    `delete chain ${table} refused`,
    `delete table ${table}`,
  ];
}

/** What opens addresses for a time, from now on. Pure. @param until seconds */
export function renderPermit(
  holder: Holder,
  { addresses, whole, services, seconds }: Permit,
): readonly string[] {
  const names = namesOf(holder);
  const elements: readonly (readonly [string, string])[] = whole
    ? addresses.map((address) => [names.hosts, address] as const)
    : addresses.flatMap((address) =>
        services.map(
          ({ protocol, port }) =>
            [
              names.services,
              `${address} . ${protocol} . ${String(port)}`,
            ] as const,
        ),
      );
  return elements.flatMap(([set, element]) => [
    // The kernel keeps the time of an element that is there: so it is there, then gone, then there again, in one transaction.
    `add element ${table} ${set} { ${element} }`,
    `delete element ${table} ${set} { ${element} }`,
    `add element ${table} ${set} { ${element} timeout ${String(seconds)}s }`,
  ]);
}

function renderWayOut(
  guest: Guest,
  bridge: string,
  uplink: string,
): readonly string[] {
  const names = namesOf(guest);
  const comment = `comment "${commentOf(guest, guest.tapDevice)}"`;
  const out = `oifname "${uplink}"`;
  const stay = `oifname "${bridge}" return`;
  const { allow } = guest;
  if (!allow) return [stay, `${out} goto pass ${comment}`];
  return [
    stay,
    ...allow.always.map(
      (opening) => `${out} ${renderOpening(opening)} goto pass ${comment}`,
    ),
    ...(allow.byName
      ? [
          // A connection outlives the answer that it began with.
          `${out} ct state established,related goto pass ${comment}`,
          `${out} ip daddr @${names.hosts} goto pass ${comment}`,
          `${out} ip daddr . meta l4proto . th dport @${names.services} goto pass ${comment}`,
        ]
      : []),
  ];
}

function renderOpening({ to, port, protocol }: Opening): string {
  if (port === undefined) return `ip daddr ${to}`;
  return protocol === undefined
    ? `ip daddr ${to} meta l4proto { tcp, udp } th dport ${String(port)}`
    : `ip daddr ${to} ${protocol} dport ${String(port)}`;
}

function renderRefusalSets({
  refused,
  unported,
}: {
  readonly refused: string;
  readonly unported: string;
}): readonly string[] {
  const rest = `size ${String(mostRefusals)}; flags dynamic,timeout; timeout ${String(refusalSeconds)}s;`;
  return [
    `add set ${table} ${refused} { type ipv4_addr . inet_proto . inet_service; ${rest} }`,
    `add set ${table} ${unported} { type ipv4_addr . inet_proto; ${rest} }`,
  ];
}

function renderNameSets({
  hosts,
  services,
}: {
  readonly hosts: string;
  readonly services: string;
}): readonly string[] {
  const rest = "size 65536; flags timeout;";
  return [
    `add set ${table} ${hosts} { type ipv4_addr; ${rest} }`,
    `add set ${table} ${services} { type ipv4_addr . inet_proto . inet_service; ${rest} }`,
  ];
}

function renderRemovedKey({ map, key }: MapKey): string {
  const [first = "", second] = key;
  const written = second === undefined ? first : `"${first}" . ${second}`;
  return `delete element ${table} ${map} { ${written} }`;
}
