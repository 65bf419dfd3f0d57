import {
  AsyncParallelHook,
  AsyncSeriesHook,
  AsyncSeriesWaterfallHook,
} from "tapable";
import type { GuestCommand, GuestProcess } from "../contracts/guest.js";
import type { Logger } from "../contracts/logger.js";
import type { Check, Finding } from "../model/check.js";
import type { GuestConfig } from "../model/guest-config.js";
import type { Image } from "../model/image.js";
import type { Json } from "../model/json.js";
import type { MachineConfig } from "../model/machine-config.js";
import type { VmHandles, VmId, VmRecord } from "../model/vm.js";
import type { Progress } from "./operation.js";

/** What every tap receives last; made for one plugin and one call. */
export interface HookContext {
  /** aborts when the operation is cancelled or the hook's time limit has passed */
  readonly signal: AbortSignal;
  /** carries plugin and operation, and the VM where there is one */
  readonly logger: Logger;
}

/** This plugin's durable JSON for this VM. Save what removal needs before making it. */
export interface Teardown {
  load(): Promise<Json | undefined>;
  save(value: Json): Promise<void>;
}

export interface VmContext extends HookContext {
  readonly vm: VmRecord;
  readonly image: Image;
  /** announces a stage that takes time */
  readonly progress: Progress;
  readonly teardown: Teardown;
}

export interface PreflightContext extends HookContext {
  readonly vm: VmRecord;
  readonly image: Image;
  readonly progress: Progress;
  /** Adds a reason against the start, or a warning. */
  readonly report: (finding: Finding) => void;
}

/** For the pure hooks: facts to decide by, nothing to do anything with. */
export interface ConfigContext extends HookContext {
  readonly vm: VmRecord;
  readonly image: Image;
}

/** The guest answers. */
export interface GuestContext extends VmContext {
  exec(command: GuestCommand): Promise<GuestProcess>;
}

export interface CleanupContext extends HookContext {
  readonly vm: VmRecord;
  /** what was true when the VM ran, as far as `handles.json` still says so; the record has every name as well */
  readonly handles: VmHandles | undefined;
  /** `stop` keeps the VM's data; after `delete` its directory goes too */
  readonly reason: "stop" | "delete";
  readonly teardown: Teardown;
}

export interface ConfigChangeContext extends HookContext {
  /** is the guest running? */
  readonly live: boolean;
  /**
   * An earlier change is taken back: `after` is what was in force, and the tap may have agreed to the change, have refused it, or never
   * have been asked. It must not refuse now; what it would have refused it never did.
   */
  readonly takingBack: boolean;
  readonly progress: Progress;
  readonly teardown: Teardown;
}

export interface DoctorContext extends HookContext {
  /** of every VM that has a record, whatever its state: what carries another id is nobody's */
  readonly vmIds: () => Promise<readonly VmId[]>;
  readonly report: (check: Check) => void;
}

/**
 * The eight hooks. A tap's `name` is its plugin's id, or `id:detail`. Taps come in every style tapable knows (`tap`, `tapAsync`,
 * `tapPromise`).
 */
export interface Hooks {
  /** May this VM start here? Reads only; all taps run, a throw counts as a finding. */
  readonly preflight: AsyncParallelHook<[PreflightContext]>;
  /** Mounts, files and units for the guest. Pure; the first error stops. */
  readonly guestConfig: AsyncSeriesWaterfallHook<[GuestConfig, ConfigContext]>;
  /** Drives, interfaces, kernel arguments, channels. Pure; the first error stops. */
  readonly machineConfig: AsyncSeriesWaterfallHook<
    [MachineConfig, ConfigContext]
  >;
  /** Makes what the VM needs on the host. `ensure`, not `create`: twice equals once. An error is followed by cleanup. */
  readonly prepareHost: AsyncSeriesHook<[VmContext]>;
  /** The guest answers: publish, open, announce. May run again under a new daemon. An error fails the start. */
  readonly postStart: AsyncSeriesHook<[GuestContext]>;
  /** Removes all of it, from names alone. Runs in reverse order, all taps, with nothing there as well. */
  readonly cleanup: AsyncSeriesHook<[CleanupContext]>;
  /** `(before, after)`: the owner changed the VM. A throw refuses the change; taps that agreed are called with the arguments swapped, and after a daemon's death all are. */
  readonly configChange: AsyncSeriesHook<
    [VmRecord, VmRecord, ConfigChangeContext]
  >;
  /** Is this capability healthy here? Reads only; time-limited; a throw is a failed check. */
  readonly doctor: AsyncParallelHook<[DoctorContext]>;
}

export type HookName = keyof Hooks;

/** Most that one tap may take, ms; generous, as emulated and busy hosts are slow. */
export const hookLimitsMs: Readonly<Record<HookName, number>> = {
  preflight: 15_000,
  guestConfig: 5_000,
  machineConfig: 5_000,
  prepareHost: 300_000,
  postStart: 60_000,
  cleanup: 60_000,
  configChange: 60_000,
  doctor: 10_000,
};

/** tapable calls taps with no arguments when the names are missing, so they are all here. */
export function createHooks(): Hooks {
  return {
    preflight: new AsyncParallelHook(["context"]),
    guestConfig: new AsyncSeriesWaterfallHook(["config", "context"]),
    machineConfig: new AsyncSeriesWaterfallHook(["config", "context"]),
    prepareHost: new AsyncSeriesHook(["context"]),
    postStart: new AsyncSeriesHook(["context"]),
    cleanup: new AsyncSeriesHook(["context"]),
    configChange: new AsyncSeriesHook(["before", "after", "context"]),
    doctor: new AsyncParallelHook(["context"]),
  };
}
