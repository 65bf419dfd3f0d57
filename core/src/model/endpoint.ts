import type { ListeningPort, PortForward, ReachablePort } from "./port.js";
import type { VmRecord } from "./vm.js";

/** What leads from the host to a VM's ports. */
export interface WaysIn {
  /** the guest's address reaches each of its ports */
  readonly direct: boolean;
  /** on this host the VM's DNS name leads to its address */
  readonly named: boolean;
  /** ports of the host that lead to one of the guest's, best first */
  readonly forwards: readonly PortForward[];
}

/** The port with the place where the host reaches it, if there is one. Pure. */
export function reachablePort(
  vm: VmRecord,
  port: ListeningPort,
  ways: WaysIn,
): ReachablePort {
  const place = findWay(vm, port, ways);
  if (!place) return port;
  const scheme = port.scheme === undefined ? "" : `${port.scheme}://`;
  const endpoint = `${scheme}${renderEndpoint(vm, place, ways.named)}`;
  return { ...port, endpoint };
}

/** `web.vm:8080`, or `127.0.0.1:8080` with an address that is not the VM's own, or when its name leads nowhere. Pure. */
export function renderEndpoint(
  { runtime }: VmRecord,
  { address, port }: Pick<PortForward, "address" | "port">,
  named: boolean,
): string {
  const host = named && address === runtime.guestIp ? runtime.dnsName : address;
  return `${host}:${String(port)}`;
}

function findWay(
  { runtime }: VmRecord,
  { protocol, address, port }: ListeningPort,
  { direct, forwards }: WaysIn,
): Pick<PortForward, "address" | "port"> | undefined {
  if (direct && !isLoopback(address)) return { address: runtime.guestIp, port };
  if (protocol !== "tcp") return undefined;
  return forwards.find(({ guestPort }) => guestPort === port);
}

/** Only the guest itself reaches these. */
function isLoopback(address: string): boolean {
  return address === "::1" || address.startsWith("127.");
}
