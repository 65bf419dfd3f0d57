import { readFileSync } from "node:fs";

/** First TCP port that this process may bind: 0 as root, else what the kernel says (ip-sysctl: ip_unprivileged_port_start). */
export function lowestPort(isRoot: boolean): number {
  if (isRoot) return 0;
  const text = readFileSync(
    "/proc/sys/net/ipv4/ip_unprivileged_port_start",
    "utf8",
  );
  return Number.parseInt(text, 10);
}
