import type { GuestCommand, GuestProcess } from "../contracts/guest.js";
import type { VmStore } from "../contracts/vm-store.js";
import {
  invokeTap,
  type HookCall,
  type TapFunction,
} from "../lifecycle/hook-call.js";
import type { PluginFaultError } from "../lifecycle/hook-errors.js";
import type {
  ConfigChangeContext,
  HookContext,
  Hooks,
  Teardown,
} from "../lifecycle/hooks.js";
import type { OperationContext } from "../lifecycle/operation.js";
import { freezeConfig, SlotOwners } from "../lifecycle/slots.js";
import type { Check, CheckSection, Finding } from "../model/check.js";
import type { GuestConfig } from "../model/guest-config.js";
import type { Image } from "../model/image.js";
import type { MachineConfig } from "../model/machine-config.js";
import type { VmHandles, VmRecord } from "../model/vm.js";

type Caller = Pick<
  OperationContext,
  "signal" | "logger" | "timeline" | "progress"
>;

/** The hooks of one set of enabled plugins, ready to be called. */
export class PluginSet {
  /** in the order in which they were applied */
  readonly ids: readonly string[];
  readonly #hooks: Hooks;
  readonly #vmStore: VmStore;

  constructor(ids: readonly string[], hooks: Hooks, vmStore: VmStore) {
    this.ids = ids;
    this.#hooks = hooks;
    this.#vmStore = vmStore;
  }

  /** Asks all plugins; a plugin that throws is a finding too. In plugin order. */
  async preflight(
    vm: VmRecord,
    image: Image,
    caller: Caller,
  ): Promise<readonly Finding[]> {
    const findings = new Map<string, Finding[]>(this.ids.map((id) => [id, []]));
    const faults: PluginFaultError[] = [];
    await this.#hooks.preflight.promise(
      this.#call(
        caller,
        { faults },
        (base, plugin) => ({
          ...base,
          vm,
          image,
          progress: caller.progress,
          report: (finding: Finding) => findings.get(plugin)?.push(finding),
        }),
        vm,
      ),
    );
    for (const fault of faults)
      findings.get(fault.plugin)?.push({
        id: `${fault.plugin}.preflight`,
        severity: "error",
        message: fault.message,
        ...(fault.hint === undefined ? {} : { fix: fault.hint }),
      });
    return [...findings.values()].flat();
  }

  guestConfig(
    initial: GuestConfig,
    vm: VmRecord,
    image: Image,
    caller: Caller,
  ): Promise<GuestConfig> {
    const call = this.#configCall(initial, vm, image, caller);
    return this.#hooks.guestConfig.promise(freezeConfig(initial), call);
  }

  machineConfig(
    initial: MachineConfig,
    vm: VmRecord,
    image: Image,
    caller: Caller,
  ): Promise<MachineConfig> {
    const call = this.#configCall(initial, vm, image, caller);
    return this.#hooks.machineConfig.promise(freezeConfig(initial), call);
  }

  async prepareHost(vm: VmRecord, image: Image, caller: Caller): Promise<void> {
    await this.#hooks.prepareHost.promise(
      this.#call(
        caller,
        {},
        (base, plugin) => ({
          ...base,
          vm,
          image,
          progress: caller.progress,
          teardown: this.#teardown(vm, plugin),
        }),
        vm,
      ),
    );
  }

  async postStart(
    vm: VmRecord,
    image: Image,
    exec: (command: GuestCommand, signal: AbortSignal) => Promise<GuestProcess>,
    caller: Caller,
  ): Promise<void> {
    await this.#hooks.postStart.promise(
      this.#call(
        caller,
        {},
        (base, plugin) => ({
          ...base,
          vm,
          image,
          progress: caller.progress,
          teardown: this.#teardown(vm, plugin),
          exec: (command: GuestCommand) => exec(command, base.signal),
        }),
        vm,
      ),
    );
  }

  /** Runs every cleanup tap. @returns what failed */
  async cleanup(
    vm: VmRecord,
    handles: VmHandles | undefined,
    reason: "stop" | "delete",
    caller: Caller,
  ): Promise<readonly PluginFaultError[]> {
    const faults: PluginFaultError[] = [];
    await this.#hooks.cleanup.promise(
      this.#call(
        caller,
        { faults },
        (base, plugin) => ({
          ...base,
          vm,
          handles,
          reason,
          teardown: this.#teardown(vm, plugin),
        }),
        vm,
      ),
    );
    return faults;
  }

  /**
   * When a tap refuses, the ones that had agreed are called again, newest first, with the arguments swapped.
   * @returns what takes the change back later, for a caller that cannot keep it
   */
  async configChange(
    before: VmRecord,
    after: VmRecord,
    live: boolean,
    caller: Caller,
  ): Promise<() => Promise<void>> {
    const agreed: (() => Promise<unknown>)[] = [];
    const contextOf =
      (takingBack: boolean) =>
      (base: HookContext, plugin: string): HookContext =>
        this.#changeContext(base, plugin, after, { live, takingBack }, caller);
    // A cancelled change is taken back all the same.
    const unaborted = { ...caller, signal: new AbortController().signal };
    const back = this.#call(unaborted, {}, contextOf(true), after);
    const call = this.#call(
      caller,
      {
        onDone: (plugin, fn) => {
          agreed.unshift(() =>
            invokeTap("configChange", plugin, fn, [after, before], back),
          );
        },
      },
      contextOf(false),
      after,
    );
    const takeBack = async (): Promise<void> => {
      for (const undo of agreed.splice(0)) {
        await undo().catch((error: unknown) => {
          caller.logger.error("Taking back a configuration change failed", {
            error,
          });
        });
      }
    };
    try {
      await this.#hooks.configChange.promise(before, after, call);
      return takeBack;
    } catch (refusal) {
      await takeBack();
      throw refusal;
    }
  }

  /**
   * Leads every tap from `after` back to `before`, whichever it had agreed to when the daemon died. All run.
   * @returns what failed
   */
  async revertChange(
    after: VmRecord,
    before: VmRecord,
    live: boolean,
    caller: Caller,
  ): Promise<readonly PluginFaultError[]> {
    const faults: PluginFaultError[] = [];
    const call = this.#call(
      caller,
      { faults },
      (base, plugin) =>
        this.#changeContext(
          base,
          plugin,
          before,
          { live, takingBack: true },
          caller,
        ),
      before,
    );
    await this.#hooks.configChange.promise(after, before, call);
    return faults;
  }

  /** Sections in plugin order, also of plugins that reported nothing. */
  async doctor(caller: Caller): Promise<readonly CheckSection[]> {
    const checks = new Map<string, Check[]>(this.ids.map((id) => [id, []]));
    const faults: PluginFaultError[] = [];
    await this.#hooks.doctor.promise(
      this.#call(caller, { faults }, (base, plugin) => ({
        ...base,
        vmIds: async () => (await this.#vmStore.list()).map(({ id }) => id),
        report: (check: Check) => checks.get(plugin)?.push(check),
      })),
    );
    for (const fault of faults) {
      checks.get(fault.plugin)?.push({
        id: `${fault.plugin}.doctor`,
        title: "checks of the plugin itself",
        status: "fail",
        detail: fault.message,
      });
    }
    return [...checks].map(([section, list]) => ({ section, checks: list }));
  }

  #configCall(
    initial: GuestConfig | MachineConfig,
    vm: VmRecord,
    image: Image,
    caller: Caller,
  ): never {
    return this.#call(
      caller,
      slotKeeper(initial),
      (base) => ({ ...base, vm, image }),
      vm,
    );
  }

  #changeContext(
    base: HookContext,
    plugin: string,
    vm: VmRecord,
    how: Pick<ConfigChangeContext, "live" | "takingBack">,
    { progress }: Caller,
  ): ConfigChangeContext {
    return { ...base, ...how, progress, teardown: this.#teardown(vm, plugin) };
  }

  /** Typed as what tapable wants: the wrapper around every tap turns the call into the plugin's context. */
  #call(
    caller: Caller,
    rest: Partial<HookCall>,
    contextOf: (base: HookContext, plugin: string) => HookContext,
    vm?: VmRecord,
  ): never {
    const about = vm === undefined ? {} : { vmId: vm.id };
    const call: HookCall = {
      signal: caller.signal,
      timeline: caller.timeline,
      ...rest,
      contextFor: (plugin, signal) =>
        contextOf(
          { signal, logger: caller.logger.child({ plugin, ...about }) },
          plugin,
        ),
    };
    return call as never;
  }

  #teardown(vm: VmRecord, plugin: string): Teardown {
    return {
      load: async () => {
        const current = (await this.#vmStore.find(vm.id)) ?? vm;
        return current.runtime.teardown[plugin];
      },
      save: async (value) => {
        await this.#vmStore.update(vm.id, ({ runtime }) => ({
          runtime: {
            ...runtime,
            teardown: { ...runtime.teardown, [plugin]: value },
          },
        }));
      },
    };
  }
}

/** Watches a configuration waterfall: who owns which slot. */
function slotKeeper(initial: GuestConfig | MachineConfig): Partial<HookCall> {
  const owners = new SlotOwners(initial);
  return {
    onDone: (
      plugin: string,
      _fn: TapFunction,
      args: readonly unknown[],
      value: unknown,
    ) => {
      if (value === undefined) return;
      const after = freezeConfig(value as GuestConfig | MachineConfig);
      owners.claim(plugin, args[0] as GuestConfig | MachineConfig, after);
    },
  };
}
