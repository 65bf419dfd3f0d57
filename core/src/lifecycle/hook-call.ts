import { CancelledError } from "../errors.js";
import type { TimelineRecorder } from "../model/timeline.js";
import { HookTimeoutError, PluginFaultError } from "./hook-errors.js";
import { hookLimitsMs, type HookContext, type HookName } from "./hooks.js";
import { throwIfCancelled } from "./operation.js";

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

/** An aborted tap may end by itself within this, ms: cleanup that begins earlier would race it. Then it is given up on. */
const abortGraceMs = 5_000;

/**
 * Calls one tap with its own context: limited in time, in the timeline.
 * @throws {@link PluginFaultError}, unless the call collects faults
 */
export async function invokeTap(
  hook: HookName,
  plugin: string,
  fn: TapFunction,
  args: readonly unknown[],
  call: HookCall,
): Promise<unknown> {
  const work = async (): Promise<unknown> => {
    // Where the first throw stops, the one that was aborted throws; here nothing else would keep the rest from being called.
    if (call.faults)
      throwIfCancelled(call.signal, `${hook} of plugin ${plugin}`);
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
  const limit = new AbortController();
  const signal = AbortSignal.any([owner, limit.signal]);
  // Whoever was first: a tap that its owner has cancelled is not late as well.
  const isLate = (): boolean =>
    limit.signal.aborted && signal.reason === limit.signal.reason;
  const timer = setTimeout(
    () => limit.abort(new HookTimeoutError(plugin, hook, limitMs)),
    limitMs,
  );
  let grace: NodeJS.Timeout | undefined;
  let onAbort = (): void => undefined;
  const givenUp = new Promise<never>((_, reject) => {
    onAbort = () => {
      grace = setTimeout(
        () => reject(new CancelledError(`${hook} of plugin ${plugin}`)),
        abortGraceMs,
      );
    };
    // No event tells of an abort that was there before.
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort);
  });
  try {
    const value = await Promise.race([work(signal), givenUp]);
    // What a tap returns after its limit may be half of the work.
    if (isLate()) throw signal.reason;
    return value;
  } catch (error) {
    if (isLate()) throw signal.reason;
    // However a tap takes the abort, the owner asked for it.
    throw owner.aborted && !(error instanceof CancelledError)
      ? new CancelledError(`${hook} of plugin ${plugin}`, error)
      : error;
  } finally {
    signal.removeEventListener("abort", onAbort);
    clearTimeout(timer);
    clearTimeout(grace);
  }
}
