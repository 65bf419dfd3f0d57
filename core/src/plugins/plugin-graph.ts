import { BangerError } from "../errors.js";
import { suggestName } from "../model/suggest.js";
import type { PluginManifest } from "./manifest.js";

export class PluginNotFoundError extends BangerError {
  override readonly code = "ERR_PLUGIN_NOT_FOUND";
  override readonly kind = "not-found";
  constructor(id: string, known: readonly string[]) {
    super(`there is no plugin ${JSON.stringify(id)}`, {
      hint: suggestName(id, known),
    });
  }
}

export class PluginOrderError extends BangerError {
  override readonly code = "ERR_PLUGIN_ORDER";
  override readonly kind = "usage";
}

/**
 * Puts a set of plugins into the order in which they are applied: what a plugin requires or comes after goes first, otherwise the
 * order of `ids` is kept.
 * @throws {@link PluginNotFoundError} for an id that is not installed
 * @throws {@link PluginOrderError} when a required plugin is not in the set, `after` names nobody installed, or there is a cycle
 */
export function orderPlugins(
  ids: readonly string[],
  installed: ReadonlyMap<string, PluginManifest>,
): readonly string[] {
  const known = [...installed.keys()];
  const wanted = new Set(ids);
  const ordered: string[] = [];
  const open: string[] = [];

  const visit = (id: string): void => {
    if (ordered.includes(id)) return;
    if (open.includes(id)) {
      throw new PluginOrderError(
        `plugins wait for each other: ${[...open, id].join(" → ")}`,
        {
          hint: `Disable one of them: banger plugin disable ${id}`,
        },
      );
    }
    const manifest = installed.get(id);
    if (!manifest) throw new PluginNotFoundError(id, known);
    open.push(id);
    for (const required of manifest.requires) {
      if (!wanted.has(required)) {
        throw new PluginOrderError(
          `plugin ${id} requires ${required}, which is not enabled`,
          {
            hint: `Enable ${required} as well, or leave ${id} out`,
          },
        );
      }
      visit(required);
    }
    for (const earlier of manifest.after) {
      if (!installed.has(earlier)) {
        throw new PluginOrderError(
          `plugin ${id} comes after ${earlier}, which is not installed`,
          {
            hint: suggestName(earlier, known),
          },
        );
      }
      if (wanted.has(earlier)) visit(earlier);
    }
    open.pop();
    ordered.push(id);
  };
  for (const id of wanted) visit(id);
  return ordered;
}
