import type { VmStore } from "../contracts/vm-store.js";
import { describeError, isBangerError } from "../errors.js";
import { suggestName } from "../model/suggest.js";
import { composeHooks, PluginLoadError } from "./compose-hooks.js";
import type { Plugin, PluginServices } from "./define-plugin.js";
import type { PluginManifest } from "./manifest.js";
import {
  createPluginContainer,
  type PluginContainer,
} from "./plugin-container.js";
import { requireOwnRequests } from "./own-requests.js";
import {
  orderPlugins,
  PluginNotFoundError,
  PluginOrderError,
} from "./plugin-graph.js";
import { PluginSet } from "./plugin-set.js";

/** A package that the install knows. */
export interface InstalledPlugin {
  readonly packageName: string;
  readonly version: string;
  readonly description: string;
  readonly manifest: PluginManifest;
}

/** Imports the code of an installed plugin. @throws PluginLoadError */
export type PluginImporter = (installed: InstalledPlugin) => Promise<Plugin>;

/** Validates and returns a plugin's config section. @throws a BangerError that names file and key */
export type PluginConfigReader = (
  installed: InstalledPlugin,
  plugin: Plugin,
) => unknown;

/** A plugin that cannot be used, and why. */
export interface PluginFailure {
  readonly id: string;
  readonly message: string;
  /** what helps, where the error says it */
  readonly hint?: string;
}

interface Loaded {
  readonly plugin: Plugin;
  readonly container: PluginContainer;
}

/**
 * The installed plugins and, for each set of enabled ones, its hooks. Taps cannot be removed from a hook, so hooks are composed once
 * for every set and kept. The code of a plugin is imported when a set first needs it.
 */
export class PluginRegistry {
  readonly #installed: ReadonlyMap<string, InstalledPlugin>;
  readonly #importPlugin: PluginImporter;
  readonly #readConfig: PluginConfigReader;
  readonly #services: PluginServices;
  readonly #vmStore: VmStore;
  readonly #loaded = new Map<string, Promise<Loaded>>();
  readonly #sets = new Map<string, Promise<PluginSet>>();

  constructor(options: {
    installed: readonly InstalledPlugin[];
    importPlugin: PluginImporter;
    readConfig: PluginConfigReader;
    services: PluginServices;
    vmStore: VmStore;
  }) {
    this.#installed = new Map(
      options.installed.map((entry) => [entry.manifest.id, entry]),
    );
    this.#importPlugin = options.importPlugin;
    this.#readConfig = options.readConfig;
    this.#services = options.services;
    this.#vmStore = options.vmStore;
  }

  get installed(): readonly InstalledPlugin[] {
    return [...this.#installed.values()];
  }

  /** @throws {@link PluginNotFoundError} */
  get(id: string): InstalledPlugin {
    const found = this.#installed.get(id);
    if (!found) throw new PluginNotFoundError(id, [...this.#installed.keys()]);
    return found;
  }

  /** The ids in the order in which they are applied. @see orderPlugins for what it throws */
  order(ids: readonly string[]): readonly string[] {
    const manifests = new Map(
      [...this.#installed].map(([id, entry]) => [id, entry.manifest]),
    );
    return orderPlugins(ids, manifests);
  }

  /**
   * The hooks of a set, composed at its first use.
   * @throws {@link PluginLoadError}, {@link PluginNotFoundError}, {@link PluginOrderError}
   */
  async select(ids: readonly string[]): Promise<PluginSet> {
    const ordered = this.order(ids);
    const key = ordered.join(" ");
    let set = this.#sets.get(key);
    if (!set) {
      set = this.#compose(ordered);
      this.#sets.set(key, set);
      // A failed load may be mended while the daemon runs.
      set.catch(() => this.#sets.delete(key));
    }
    return set;
  }

  /**
   * As much of a set as can be had, for cleanup and doctor: plugins that are gone or do not load are left out and named, and what they
   * require is not asked. The order of `ids` is kept.
   */
  async selectLoadable(ids: readonly string[]): Promise<{
    readonly set: PluginSet;
    readonly failures: readonly PluginFailure[];
  }> {
    const failures: PluginFailure[] = [];
    const loaded = new Map<string, Loaded>();
    for (const id of ids) {
      try {
        loaded.set(id, await this.#load(id));
      } catch (error) {
        failures.push({ id, message: describeError(error), ...hintOf(error) });
      }
    }
    for (;;) {
      try {
        return { set: this.#composeLoaded(loaded), failures };
      } catch (error) {
        if (!(error instanceof PluginLoadError) || !loaded.delete(error.plugin))
          throw error;
        failures.push({
          id: error.plugin,
          message: error.message,
          ...hintOf(error),
        });
      }
    }
  }

  /** The set that `ids` chooses with additions and removals, as `--plugin` and `--no-plugin` give them. */
  resolve(
    enabled: readonly string[],
    add: readonly string[],
    remove: readonly string[],
  ): readonly string[] {
    for (const id of [...add, ...remove]) this.get(id);
    const both = add.find((id) => remove.includes(id));
    if (both !== undefined) {
      throw new PluginOrderError(
        `plugin ${both} is asked for and left out at once`,
        {
          hint: "Use one of --plugin and --no-plugin",
        },
      );
    }
    return this.order(
      [...new Set([...enabled, ...add])].filter((id) => !remove.includes(id)),
    );
  }

  /** Ends what plugins provide for themselves. Idempotent. */
  async dispose(): Promise<void> {
    for (const loading of this.#loaded.values()) {
      const loaded = await loading.catch(() => undefined);
      await loaded?.container.dispose();
    }
    this.#loaded.clear();
    this.#sets.clear();
  }

  async #compose(ordered: readonly string[]): Promise<PluginSet> {
    const loaded = await Promise.all(
      ordered.map(async (id) => [id, await this.#load(id)] as const),
    );
    return this.#composeLoaded(new Map(loaded));
  }

  #composeLoaded(loaded: ReadonlyMap<string, Loaded>): PluginSet {
    const applied = [...loaded.values()].map(({ plugin, container }) => ({
      plugin,
      services: container.services,
    }));
    const hooks = composeHooks(applied, [...this.#installed.keys()]);
    return new PluginSet([...loaded.keys()], hooks, this.#vmStore);
  }

  #load(id: string): Promise<Loaded> {
    let loading = this.#loaded.get(id);
    if (!loading) {
      loading = this.#importAndWire(this.get(id));
      this.#loaded.set(id, loading);
      loading.catch(() => this.#loaded.delete(id));
    }
    return loading;
  }

  async #importAndWire(installed: InstalledPlugin): Promise<Loaded> {
    const plugin = await this.#importPlugin(installed);
    const { id } = installed.manifest;
    if (plugin.id !== id) {
      throw new PluginLoadError(
        id,
        `its code calls itself ${plugin.id}; ${suggestName(plugin.id, [id])}`,
      );
    }
    requireOwnRequests(plugin);
    const config = this.#readConfig(installed, plugin);
    return {
      plugin,
      container: createPluginContainer(plugin, config, this.#services),
    };
  }
}

function hintOf(error: unknown): Pick<PluginFailure, "hint"> {
  return isBangerError(error) && error.hint !== undefined
    ? { hint: error.hint }
    : {};
}
