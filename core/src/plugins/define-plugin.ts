import { z } from "zod";
import type { CommandRunner } from "../contracts/commands.js";
import type { GuestKeys } from "../contracts/guest-keys.js";
import type { GuestEgress } from "../contracts/guest-egress.js";
import type { HostFacts } from "../contracts/host-facts.js";
import type { Logger } from "../contracts/logger.js";
import type { Network } from "../contracts/network.js";
import type {
  AnyPrivilegedRequest,
  Privileged,
} from "../contracts/privileged.js";
import type { Hooks } from "../lifecycle/hooks.js";

/** The services that a plugin may list in `inject`. */
export interface PluginServices {
  readonly commands: CommandRunner;
  readonly network: Network;
  readonly hostFacts: HostFacts;
  readonly guestKeys: GuestKeys;
  readonly guestEgress: GuestEgress;
  /** carries out the requests that this plugin declares, and no others */
  readonly privileged: Privileged;
  /** carries the plugin's id; hook contexts have one that carries VM and operation too */
  readonly logger: Logger;
}

/** A service of the plugin's own: made once per daemon, on first use, by the plugin's container. */
export interface OwnService<Service, Cradle> {
  readonly make: (cradle: Cradle) => Service;
  /** called when the daemon ends */
  readonly dispose?: (service: Service) => Promise<void> | void;
}

/** Schema of a plugin without settings. */
const noSettings = z.strictObject({});

interface Definition<
  Injected extends keyof PluginServices,
  Schema extends z.ZodType,
  Own,
> {
  readonly id: string;
  /** the plugin's config section; the daemon refuses to start when the section does not fit */
  readonly config?: Schema;
  /**
   * What it asks root for. Their code also runs in the root helper, where neither config nor services are: all they know is their input.
   */
  readonly privileged?: readonly AnyPrivilegedRequest[];
  /** services that `apply` and `provide` receive; one that does not exist fails the load, by name */
  readonly inject?: readonly Injected[];
  readonly provide?: {
    readonly [Name in keyof Own]: OwnService<
      Own[Name],
      Pick<PluginServices, Injected> & { readonly config: z.output<Schema> }
    >;
  };
  /**
   * Taps the hooks. Called once for every set of enabled plugins; taps and returns, without side effects: what must exist once
   * belongs into `provide`.
   */
  apply(
    hooks: Hooks,
    services: Pick<PluginServices, Injected> &
      Own & { readonly config: z.output<Schema> },
  ): void;
}

/** A plugin as the framework handles it: the types of its services are its own affair. */
export interface Plugin {
  readonly id: string;
  /** of its config section; accepts no keys when the plugin has no settings */
  readonly config: z.ZodType;
  readonly privileged: readonly AnyPrivilegedRequest[];
  readonly inject: readonly (keyof PluginServices)[];
  readonly provide: Readonly<Record<string, OwnService<unknown, never>>>;
  /** must not return a promise: all taps are there when it returns */
  readonly apply: (hooks: Hooks, services: object) => unknown;
}

/**
 * Declares a plugin; the package exports the result as `plugin`.
 *
 * ```ts
 * export const plugin = definePlugin({
 *   id: "greeter",
 *   inject: ["commands"],
 *   apply(hooks, { commands }) {
 *     hooks.postStart.tapPromise("greeter", async ({ vm, logger }) => { … });
 *   },
 * });
 * ```
 */
export function definePlugin<
  const Injected extends keyof PluginServices = never,
  Schema extends z.ZodType = typeof noSettings,
  // An object without own services, so that `services` has no index signature.
  Own extends object = object,
>(definition: Definition<Injected, Schema, Own>): Plugin {
  return {
    id: definition.id,
    config: definition.config ?? noSettings,
    privileged: definition.privileged ?? [],
    inject: definition.inject ?? [],
    provide: (definition.provide ?? {}) as Plugin["provide"],
    apply: (hooks, services) =>
      // Handed on, so that an async apply is noticed.
      definition.apply(
        hooks,
        services as Parameters<typeof definition.apply>[1],
      ),
  };
}
