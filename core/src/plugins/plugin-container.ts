import { asFunction, asValue, createContainer } from "awilix";
import { BangerError } from "../errors.js";
import type { Plugin, PluginServices } from "./define-plugin.js";
import { ownRequestsOnly } from "./own-requests.js";

export class PluginServiceError extends BangerError {
  override readonly code = "ERR_PLUGIN_SERVICE";
  constructor(plugin: string, service: string, known: readonly string[]) {
    super(
      `plugin ${plugin} asks for the service ${service}, which does not exist`,
      {
        hint: `Services are: ${known.join(", ")}`,
      },
    );
  }
}

/** A plugin's own container: the services it asked for and those it provides to itself, nothing else. */
export interface PluginContainer {
  /** Resolves by property; a service of the plugin's own is made at its first use. */
  readonly services: object;
  dispose(): Promise<void>;
}

/**
 * @param config the plugin's validated section
 * @throws {@link PluginServiceError} when the plugin injects something that does not exist
 */
export function createPluginContainer(
  plugin: Plugin,
  config: unknown,
  available: PluginServices,
): PluginContainer {
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- awilix cradles are `any`; `definePlugin` types what plugins see
  const container = createContainer<any>({
    injectionMode: "PROXY",
    strict: true,
  });
  container.register({ config: asValue(config) });
  for (const name of plugin.inject) {
    if (!(name in available))
      throw new PluginServiceError(plugin.id, name, Object.keys(available));
    const own: Partial<PluginServices> = {
      logger: available.logger.child({ plugin: plugin.id }),
      privileged: ownRequestsOnly(plugin, available.privileged),
    };
    container.register({ [name]: asValue(own[name] ?? available[name]) });
  }
  for (const [name, { make, dispose }] of Object.entries(plugin.provide)) {
    const registration = asFunction(
      make as (cradle: object) => unknown,
    ).singleton();
    container.register({
      [name]: dispose ? registration.disposer(dispose) : registration,
    });
  }
  return {
    services: container.cradle as object,
    dispose: () => container.dispose(),
  };
}
