import type { Refusal } from "@banger/core";

/** What nft calls the protocols that are told apart; by number where /etc/protocols is missing. */
const names: Readonly<Record<string, Refusal["protocol"]>> = {
  tcp: "tcp",
  "6": "tcp",
  udp: "udp",
  "17": "udp",
  icmp: "icmp",
  "1": "icmp",
};

/** Pure. @param text as nft prints it */
export function protocolOf(text: string): Refusal["protocol"] {
  return names[text] ?? "other";
}
