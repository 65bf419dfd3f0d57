import type { GuestConfig } from "@banger/core";
import { zoneName } from "./zone.js";

/**
 * Lets the guest ask this name server alone, and find other VMs by their bare names. Pure. Another server beside it would be asked for what
 * this one refuses.
 */
export function withNameserver(guest: GuestConfig, ip: string): GuestConfig {
  const content = `nameserver ${ip}\nsearch ${zoneName}\n`;
  const file = { kind: "file", content, mode: 0o644 } as const;
  return { ...guest, files: { ...guest.files, "/etc/resolv.conf": file } };
}
