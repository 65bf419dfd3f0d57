import type { Endpoint } from "@banger/core";
import { zoneName } from "./zone.js";

/** Lines that are looked at; a host with more links than this has other worries. */
const mostLines = 500;

/**
 * Reads what `resolvectl dns` and `resolvectl domain` print: lines of `Global: …` and `Link 3 (eth0): …`.
 * @returns whether one and the same scope has our server and routes the zone to it
 */
export function routesZone(
  dnsOutput: string,
  domainOutput: string,
  server: Endpoint,
): boolean {
  const domains = readScopes(domainOutput);
  const address = `${server.host}:${String(server.port)}`;
  return [...readScopes(dnsOutput)].some(([scope, servers]) => {
    // systemd-resolved writes a server as ADDRESS:PORT%LINK#NAME; the last two may be absent.
    const ours = servers.some(
      (entry) => /^[^%#]*/.exec(entry)?.[0] === address,
    );
    const names = domains.get(scope) ?? [];
    return ours && names.some((name) => name.replace(/^~/, "") === zoneName);
  });
}

function readScopes(output: string): Map<string, readonly string[]> {
  const scopes = new Map<string, readonly string[]>();
  for (const line of output.split("\n").slice(0, mostLines)) {
    const [, scope, words] =
      /^(Global|Link \d+)(?: \([^)]*\))?:(.*)$/.exec(line.trim()) ?? [];
    if (scope === undefined || words === undefined) continue;
    scopes.set(scope, words.split(/\s+/).filter(Boolean));
  }
  return scopes;
}
