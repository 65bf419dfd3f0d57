import { BangerError, type Endpoint } from "@banger/core";

/** Another program has the port. */
export class DnsPortBusyError extends BangerError {
  override readonly code = "ERR_DNS_PORT_BUSY";
  override readonly kind = "conflict";
  constructor({ host, port }: Endpoint, cause?: unknown) {
    super(`the DNS port ${host}:${String(port)} is taken by another program`, {
      hint: `Find it with: ss -ulpn 'sport = :${String(port)}' (or -tlpn for TCP); or set another listen in [plugins.dns]`,
      cause,
    });
  }
}

/** The host does not let us listen there: a port that needs root, an address it does not have. */
export class DnsListenError extends BangerError {
  override readonly code = "ERR_DNS_LISTEN";
  override readonly kind = "unavailable";
  constructor({ host, port }: Endpoint, cause: unknown) {
    super(`the DNS server cannot listen on ${host}:${String(port)}`, {
      hint: "Set listen in [plugins.dns] to a loopback address and a port above 1023",
      cause,
    });
  }
}

export type DnsUnavailableError = DnsPortBusyError | DnsListenError;

/** The error that a failed `bind` or `listen` stands for; anything unexpected comes back as it is. */
export function toListenError(endpoint: Endpoint, error: unknown): unknown {
  const code = error instanceof Error && "code" in error ? error.code : "";
  if (code === "EADDRINUSE") return new DnsPortBusyError(endpoint, error);
  if (code === "EACCES" || code === "EADDRNOTAVAIL" || code === "EPERM")
    return new DnsListenError(endpoint, error);
  return error;
}

export function isDnsUnavailable(error: unknown): error is DnsUnavailableError {
  return error instanceof DnsPortBusyError || error instanceof DnsListenError;
}

/** Guests' questions cannot be led to the server: the bridge is not this install's, or not as it should be. */
export class DnsRouteError extends BangerError {
  override readonly code = "ERR_DNS_ROUTE";
  override readonly kind = "conflict";
  constructor(bridge: string, problem: string) {
    super(`questions for names from ${bridge} are not led to us: ${problem}`, {
      hint: `Look at its alias and addresses: ip -details address show dev ${bridge}`,
    });
  }
}
