import type { AsyncHook, FullTap } from "tapable";
import { BangerError, describeError } from "../errors.js";
import { SlotConflictError } from "../lifecycle/hook-errors.js";
import {
  invokeTap,
  type HookCall,
  type TapFunction,
} from "../lifecycle/hook-call.js";
import { createHooks, type HookName, type Hooks } from "../lifecycle/hooks.js";
import type { Plugin } from "./define-plugin.js";

export class PluginLoadError extends BangerError {
  override readonly code = "ERR_PLUGIN_LOAD";
  readonly plugin: string;
  constructor(plugin: string, problem: string, cause?: unknown) {
    super(`plugin ${plugin} cannot be loaded: ${problem}`, {
      hint: `Leave it out: banger plugin disable ${plugin}`,
      cause,
    });
    this.plugin = plugin;
  }
}

export interface AppliedPlugin {
  readonly plugin: Plugin;
  readonly services: object;
}

/**
 * Makes a set of hooks and lets the plugins tap them, in order. Each tap is wrapped: it gets the context made for its plugin, a time
 * limit, a place in the timeline, and its plugin's name on every error.
 * @param installed ids that a tap's `before` may name although they are not in this set
 * @throws {@link PluginLoadError}
 */
export function composeHooks(
  plugins: readonly AppliedPlugin[],
  installed: readonly string[],
): Hooks {
  const hooks = createHooks();
  const wishes: Wish[] = [];
  let applying = "";
  let taps = 0;
  for (const name of Object.keys(hooks) as HookName[]) {
    (hooks[name] as AsyncHook<unknown[], unknown>).intercept({
      register: (tap) => {
        const plugin = applying;
        if (tap.name !== plugin && !tap.name.startsWith(`${plugin}:`)) {
          throw new PluginLoadError(
            plugin,
            `it taps ${name} under the name ${tap.name}; use ${plugin}`,
          );
        }
        const original = toPromise(tap);
        const fn = (...args: unknown[]): Promise<unknown> =>
          invokeTap(
            name,
            plugin,
            original,
            args.slice(0, -1),
            args.at(-1) as HookCall,
          );
        // Cleanup mirrors preparation: stages backwards, and within a stage the newest tap first.
        const stage =
          name === "cleanup"
            ? -(tap.stage ?? 0) - ++taps / 1000
            : (tap.stage ?? 0);
        // tapable would run a tap first of all whose `before` is not there yet: the wish is granted when all are there.
        const { before = [], ...rest } = tap;
        const placed: FullTap = { ...rest, type: "promise", fn, stage };
        for (const target of [before].flat())
          wishes.push({ hook: name, tap: placed, plugin, before: target });
        return placed;
      },
    });
  }
  for (const { plugin, services } of plugins) {
    applying = plugin.id;
    try {
      // TypeScript lets an async function pass for one that returns nothing.
      const returned = plugin.apply(hooks, services);
      if (returned instanceof Promise) {
        returned.catch(() => undefined);
        throw new PluginLoadError(
          plugin.id,
          "its apply() is async; all taps must be there when it returns",
        );
      }
    } catch (error) {
      if (
        error instanceof PluginLoadError ||
        error instanceof SlotConflictError
      )
        throw error;
      throw new PluginLoadError(plugin.id, "its apply() failed", error);
    }
  }
  for (const wish of wishes) grant(wish, hooks, installed);
  return hooks;
}

/** A tap that wants to run before another one. */
interface Wish {
  readonly hook: HookName;
  readonly tap: FullTap;
  readonly plugin: string;
  /** a plugin's id, which means all of its taps, or the name of one tap */
  readonly before: string;
}

/** Moves the tap in front of the first one that it names; one that is installed and not in this set needs nothing. */
function grant(
  { hook, tap, plugin, before }: Wish,
  hooks: Hooks,
  installed: readonly string[],
): void {
  const { taps } = hooks[hook];
  const target = taps.findIndex(
    ({ name }) => name === before || name.startsWith(`${before}:`),
  );
  if (target < 0) {
    if (installed.includes(before)) return;
    throw new PluginLoadError(
      plugin,
      `in ${hook} it wants to be before ${before}, which nobody is`,
    );
  }
  const place = taps.indexOf(tap);
  if (place > target) taps.splice(target, 0, ...taps.splice(place, 1));
}

/** The three ways to tap, as one. */
function toPromise(tap: FullTap): TapFunction {
  const fn = tap.fn as (...args: unknown[]) => unknown;
  switch (tap.type) {
    case "promise":
      return async (...args) => fn(...args);
    case "sync":
      return (...args) => Promise.resolve().then(() => fn(...args));
    case "async":
      return (...args) =>
        new Promise((resolve, reject) => {
          fn(...args, (error: unknown, value: unknown) => {
            if (error === null || error === undefined) resolve(value);
            else
              reject(
                error instanceof Error
                  ? error
                  : new Error(describeError(error)),
              );
          });
        });
  }
}
