import type {
  VmmChoice,
  VmmDriver,
  VmmDrivers,
  VmmFeatures,
  VmmLaunch,
  VmmNames,
  VmmSignal,
  VmmUsage,
} from "../contracts/vmm.js";
import type { VmHandles, VmId, VmRecord } from "../model/vm.js";
import { anyAborted } from "./any-aborted.js";
import { fakeThings, type FakeHostState } from "./fake-host-state.js";

interface FakeProcess {
  readonly handles: VmHandles;
  readonly ended: AbortController;
}

/** A {@link VmmDriver} whose processes are names; they outlive the daemon that launched them. */
export class FakeVmm implements VmmDriver {
  readonly id = "fake";
  readonly features: VmmFeatures = {
    agentTransport: "virtio-serial",
    endsOn: "power-off",
    nics: ["user", "tap"],
    diskFormats: ["qcow2", "raw"],
    snapshot: false,
    hotplug: false,
    balloon: false,
    jail: true,
  };
  /** every launch there was */
  readonly launches: VmmLaunch[] = [];
  /** every signal that reached a process */
  readonly signals: VmmSignal[] = [];
  /** what every process has used */
  used: VmmUsage = { cpuMs: 1_000, residentBytes: 100 * 2 ** 20 };
  readonly #host: FakeHostState;
  readonly #processes = new Map<VmId, FakeProcess>();

  constructor(host: FakeHostState) {
    this.#host = host;
  }

  names({ id }: VmRecord): VmmNames {
    return { jailDirectory: fakeThings.jail(id) };
  }

  async launch(launch: VmmLaunch): Promise<VmHandles> {
    const { id } = launch.vm;
    if (this.#processes.has(id))
      throw new Error(`a second VMM process for ${id}`);
    this.launches.push(launch);
    const handles = { pid: 1000 + this.launches.length, pidStartTicks: 1 };
    this.#processes.set(id, { handles, ended: new AbortController() });
    this.#host.things.add(fakeThings.jail(id));
    this.#host.things.add(fakeThings.process(id));
    this.#host.things.add(fakeThings.vmmSocket(id));
    return handles;
  }

  async find(vm: VmRecord): Promise<VmHandles | undefined> {
    return this.#processes.get(vm.id)?.handles;
  }

  /** USR1 and USR2 are noted and end nothing; every other signal ends the process. */
  async signal(
    vm: VmRecord,
    handles: VmHandles,
    signal: VmmSignal,
  ): Promise<void> {
    if (this.#processes.get(vm.id)?.handles.pid !== handles.pid) return;
    this.signals.push(signal);
    if (signal !== "USR1" && signal !== "USR2") this.end(vm.id);
  }

  async usage(
    _vm: VmRecord,
    { pid }: VmHandles,
  ): Promise<VmmUsage | undefined> {
    const lives = [...this.#processes.values()].some(
      ({ handles }) => handles.pid === pid,
    );
    return lives ? { ...this.used } : undefined;
  }

  waitForExit(handles: VmHandles, signal: AbortSignal): Promise<void> {
    const process = [...this.#processes.values()].find(
      (candidate) => candidate.handles.pid === handles.pid,
    );
    return anyAborted(process?.ended.signal ?? AbortSignal.abort(), signal);
  }

  async kill(vm: VmRecord): Promise<void> {
    this.end(vm.id);
    // By the record alone: where jails are may have changed since.
    const { jailDirectory } = vm.runtime;
    if (jailDirectory !== undefined) this.#host.things.delete(jailDirectory);
  }

  /** The process ends, as when its guest powers off. Idempotent. */
  end(id: VmId): void {
    this.#host.things.delete(fakeThings.process(id));
    const process = this.#processes.get(id);
    this.#processes.delete(id);
    process?.ended.abort();
  }
}

/** One driver, chosen for every guest. */
export function fakeVmmDrivers(driver: FakeVmm): VmmDrivers {
  const choice: VmmChoice = {
    driver: driver.id,
    accel: "emulate",
    reason: "a test wants it",
  };
  const get = (id: string): VmmDriver => {
    if (id !== driver.id) throw new Error(`there is no VMM driver ${id}`);
    return driver;
  };
  return {
    get,
    requireFit: (request) => {
      if (request.driver !== "auto") get(request.driver);
    },
    choose: async () => choice,
  };
}
