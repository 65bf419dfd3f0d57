import type { Privileged } from "../contracts/privileged.js";
import { PluginLoadError } from "./compose-hooks.js";
import type { Plugin } from "./define-plugin.js";

/**
 * Looks whether a plugin's privileged requests have names of its own: in the root helper a name is all that tells one from another.
 * @throws PluginLoadError
 */
export function requireOwnRequests({ id, privileged }: Plugin): void {
  const names = privileged.map(({ name }) => name);
  const foreign = names.find(
    (name) =>
      !name.startsWith(`${id}.`) ||
      !/^[a-z][a-z0-9-]*\.[a-z][a-z0-9-]*$/.test(name),
  );
  if (foreign !== undefined)
    throw new PluginLoadError(
      id,
      `its privileged request is called ${JSON.stringify(foreign)}, and not ${id}. and words joined by -`,
    );
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined)
    throw new PluginLoadError(
      id,
      `it declares the privileged request ${twice} twice`,
    );
}

/** What carries out this plugin's requests and refuses those that it has not declared: the helper would not know them either. */
export function ownRequestsOnly(
  { id, privileged: declared }: Plugin,
  all: Privileged,
): Privileged {
  return {
    kind: all.kind,
    problem: () => all.problem(),
    request: async (request, input, signal) => {
      if (!declared.includes(request))
        throw new PluginLoadError(
          id,
          `it does not declare the privileged request ${request.name}`,
        );
      return all.request(request, input, signal);
    },
  };
}
