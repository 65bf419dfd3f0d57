import type { Check, CommandRunner, Endpoint } from "@banger/core";
import { read } from "./read-command.js";
import { findResolver, type HostResolverKind } from "./host-resolver.js";
import { routesZone } from "./resolved-status.js";
import type { DnsServer } from "./server.js";

type Served = Pick<
  DnsServer,
  "listen" | "listening" | "endpoints" | "published"
>;

/** Is the server listening, or could it? */
export async function checkListen(
  server: Served & Pick<DnsServer, "probe">,
): Promise<Check> {
  const check = { id: "dns.listen", title: "DNS server for .vm" };
  const { listening, published } = server;
  if (listening) {
    const names = `${String(published.size)} ${published.size === 1 ? "name" : "names"}`;
    const detail = `listening on ${server.endpoints.map(addressOf).join(" and ")} (UDP and TCP), ${names} published`;
    return { ...check, status: "pass", detail };
  }
  const problem = await server.probe();
  if (!problem) {
    const detail = `${addressOf(server.listen)} is free; the server begins with the first VM`;
    return { ...check, status: "pass", detail };
  }
  return {
    ...check,
    // Another install on this host may well have it, and VMs work without names.
    status: problem.code === "ERR_DNS_PORT_BUSY" ? "warn" : "fail",
    detail: problem.message,
    ...(problem.hint === undefined ? {} : { fix: problem.hint }),
  };
}

/**
 * Do the host's programs find the names? Asks the host's own resolver for a published name when there is one, whatever that
 * resolver is; else reads the routes of systemd-resolved, of a link or of its files. Without a route it says which resolver the host has
 * and how that one is told.
 * @param root of the files that are looked at
 */
export async function checkResolver(
  server: Served,
  commands: CommandRunner,
  signal: AbortSignal,
  root = "/",
): Promise<Check> {
  const check = { id: "dns.resolver", title: "host resolver's route to .vm" };
  const target = reachable(server.listen);
  const [name, ip] = [...server.published][0] ?? [];
  const asked = server.listening && name !== undefined && ip !== undefined;
  if (asked && (await lookUp(commands, name, signal)).includes(ip)) {
    const detail = `the host's resolver answers ${name} with ${ip}`;
    return { ...check, status: "pass", detail };
  }
  const hasResolved = (await commands.find("resolvectl")) !== undefined;
  const routed =
    hasResolved &&
    (await resolvedRoutes(commands, [target, ...server.endpoints], signal));
  if (routed && !asked) {
    const detail = `systemd-resolved sends .vm to ${addressOf(target)}`;
    return { ...check, status: "pass", detail };
  }
  if (routed) {
    return {
      ...check,
      status: "warn",
      detail: `systemd-resolved sends .vm to ${addressOf(target)}, yet the host's resolver does not answer ${name} with ${ip}`,
      fix: "See that the hosts line of /etc/nsswitch.conf has resolve or dns, then: resolvectl flush-caches",
    };
  }
  const kind = hasResolved
    ? "systemd-resolved"
    : await findResolver(commands, signal, root);
  return {
    ...check,
    status: "warn",
    detail: `the host's resolver${describe(kind)} does not send .vm to ${addressOf(target)}, so names of VMs resolve only when that server is asked`,
    fix: recipe(kind, target, name),
  };
}

function describe(kind: HostResolverKind): string {
  if (kind === "plain")
    return " (the servers in /etc/resolv.conf, which cannot be told apart by name)";
  return kind === "NetworkManager"
    ? " (NetworkManager, which writes /etc/resolv.conf)"
    : ` (${kind})`;
}

function recipe(
  kind: HostResolverKind,
  target: Endpoint,
  name: string | undefined,
): string {
  const line = `server=/vm/${target.host}#${String(target.port)}`;
  switch (kind) {
    case "systemd-resolved":
      return resolvedRecipe(target);
    case "dnsmasq":
      return `echo '${line}' | sudo tee /etc/dnsmasq.d/banger-vm.conf && sudo systemctl restart dnsmasq`;
    case "NetworkManager with dnsmasq":
      return `echo '${line}' | sudo tee /etc/NetworkManager/dnsmasq.d/banger-vm.conf && sudo systemctl restart NetworkManager`;
    case "NetworkManager":
    case "plain":
      return digRecipe(target, name);
  }
}

/** One line that routes the zone; README has its undo. */
function resolvedRecipe(target: Endpoint): string {
  const file = "/etc/systemd/resolved.conf.d/banger-vm.conf";
  const text = `[Resolve]\\nDNS=${addressOf(target)}\\nDomains=~vm\\nDNSSEC=no\\n`;
  return `printf '${text}' | sudo install -D -m 0644 /dev/stdin ${file} && sudo systemctl restart systemd-resolved`;
}

function digRecipe({ host, port }: Endpoint, name = "NAME.vm"): string {
  return `Ask it directly: dig @${host} -p ${String(port)} ${name}; or have your resolver forward vm to ${host} port ${String(port)} (README of the dns plugin)`;
}

/** Where a client on this host finds a server that listens there. */
function reachable({ host, port }: Endpoint): Endpoint {
  return { host: host === "0.0.0.0" ? "127.0.0.1" : host, port };
}

function addressOf({ host, port }: Endpoint): string {
  return `${host}:${String(port)}`;
}

/** The addresses that the C library's resolver, which most programs use, has for a name. */
async function lookUp(
  commands: CommandRunner,
  name: string,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const output = await read(commands, "getent", ["ahostsv4", name], signal);
  return output.split("\n").map((line) => line.split(/\s+/)[0] ?? "");
}

async function resolvedRoutes(
  commands: CommandRunner,
  servers: readonly Endpoint[],
  signal: AbortSignal,
): Promise<boolean> {
  const [dns, domains] = await Promise.all([
    read(commands, "resolvectl", ["dns"], signal),
    read(commands, "resolvectl", ["domain"], signal),
  ]);
  return servers.some((server) => routesZone(dns, domains, server));
}
