import { BangerError } from "@banger/core";

/** What the bridge or a TAP device should be is taken by something else. */
export class NetworkConflictError extends BangerError {
  override readonly code = "ERR_NETWORK_CONFLICT";
  override readonly kind = "conflict";
}

/** Every address of the guests' subnet has its VM. */
export class NetworkFullError extends BangerError {
  override readonly code = "ERR_NETWORK_FULL";
  override readonly kind = "unavailable";
  constructor(subnet: string, guests: number) {
    super(
      `${subnet} has addresses for ${String(guests)} VMs, and all are taken`,
      {
        hint: "Delete VMs, or choose a wider subnet: address in section [network] of the configuration",
      },
    );
  }
}

/** A record names a network mode that this program does not have. */
export class NetworkModeError extends BangerError {
  override readonly code = "ERR_NETWORK_MODE";
  constructor(vmName: string, mode: string, known: readonly string[]) {
    super(
      `${vmName} has the network mode ${mode}, which banger does not know; it knows ${known.join(", ")}`,
      {
        hint: `Use the banger that made it, or delete it: banger vm delete ${vmName}`,
      },
    );
  }
}
