import {
  requireOwnRequests,
  type AnyPrivilegedRequest,
  type Plugin,
} from "@banger/core";
import { requestName } from "./protocol.js";

/** What a root helper carries out, by name. */
export type PrivilegedRequests = ReadonlyMap<string, AnyPrivilegedRequest>;

/**
 * Everything that a helper carries out. Pure.
 * @throws PluginLoadError for a plugin whose requests are not its own
 * @throws Error when two have one name, or one of ours has a wrong one: both are mistakes in the program
 */
export function collectRequests(given: {
  readonly host: readonly AnyPrivilegedRequest[];
  readonly plugins: readonly Plugin[];
}): PrivilegedRequests {
  for (const plugin of given.plugins) requireOwnRequests(plugin);
  const requests = new Map<string, AnyPrivilegedRequest>();
  const all = [...given.host, ...given.plugins.flatMap((p) => p.privileged)];
  for (const request of all) {
    const { name } = request;
    if (!requestName.safeParse(name).success)
      throw new Error(`${JSON.stringify(name)} is no name of a request`);
    if (requests.has(name))
      throw new Error(`two privileged requests are called ${name}`);
    requests.set(name, request);
  }
  return requests;
}
