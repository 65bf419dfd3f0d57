import type { TimelineRecorder } from "../model/timeline.js";
import { HookTimeoutError, PluginFaultError } from "./hook-errors.js";
import { hookLimitsMs, type HookContext, type HookName } from "./hooks.js";

export type TapFunction = (...args: unknown[]) => Promise<unknown>;

/** What the framework passes through tapable as the last argument; each tap gets its own context made from it. */
export interface HookCall {
  readonly signal: AbortSignal;
  readonly timeline?: TimelineRecorder;
  contextFor(plugin: string, signal: AbortSignal): HookContext;
  /** where all taps run whatever the others do: what they threw; absent: the first throw stops */
  readonly faults?: PluginFaultError[];
  /** after a tap returned, with the arguments it got and its value; a throw is that tap's fault */
  onDone?(
    plugin: string,
    fn: TapFunction,
    args: readonly unknown[],
    value: unknown,
  ): void;
}

/** A tap that ignores an abort is given up on after this, ms. */
const abortGraceMs = 5_000;

export async function invokeTap(
  hook: HookName,
  plugin: string,
  fn: TapFunction,
  args: readonly unknown[],
  call: HookCall,
): Promise<unknown> {
  const work = async (): Promise<unknown> => {
    const value = await limited(hook, plugin, call.signal, (signal) =>
      fn(...args, call.contextFor(plugin, signal)),
    );
    call.onDone?.(plugin, fn, args, value);
    return value;
  };
  try {
    return await (call.timeline?.measure("hook", `${plugin} ${hook}`, work) ??
      work());
  } catch (error) {
    const fault = new PluginFaultError(plugin, hook, error);
    if (!call.faults) throw fault;
    call.faults.push(fault);
    return undefined;
  }
}

async function limited(
  hook: HookName,
  plugin: string,
  owner: AbortSignal,
  work: (signal: AbortSignal) => Promise<unknown>,
): Promise<unknown> {
  const limitMs = hookLimitsMs[hook];
  const timeout = new AbortController();
  const signal = AbortSignal.any([owner, timeout.signal]);
  let timer: NodeJS.Timeout | undefined;
  let grace: NodeJS.Timeout | undefined;
  const giveUp = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const error = new HookTimeoutError(plugin, hook, limitMs);
      timeout.abort(error);
      reject(error);
    }, limitMs);
    signal.addEventListener("abort", () => {
      grace = setTimeout(() => {
        reject(
          signal.reason instanceof Error ? signal.reason : new Error("aborted"),
        );
      }, abortGraceMs);
    });
  });
  try {
    return await Promise.race([work(signal), giveUp]);
  } finally {
    clearTimeout(timer);
    clearTimeout(grace);
  }
}
