import type {
  VmmChoice,
  VmmDriver,
  VmmDrivers,
  VmmFeatures,
  VmmLaunch,
} from "../contracts/vmm.js";
import type { VmHandles, VmId, VmRecord } from "../model/vm.js";
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
    snapshot: false,
    hotplug: false,
    balloon: false,
    jail: false,
    rootDisk: "qcow2",
  };
  /** every launch there was */
  readonly launches: VmmLaunch[] = [];
  readonly #host: FakeHostState;
  readonly #processes = new Map<VmId, FakeProcess>();

  constructor(host: FakeHostState) {
    this.#host = host;
  }

  launch(launch: VmmLaunch, signal: AbortSignal): Promise<VmHandles> {
    const { id } = launch.vm;
    const work = async (): Promise<VmHandles> => {
      if (this.#processes.has(id))
        throw new Error(`a second VMM process for ${id}`);
      this.launches.push(launch);
      const handles = { pid: 1000 + this.launches.length, pidStartTicks: 1 };
      this.#processes.set(id, { handles, ended: new AbortController() });
      this.#host.things.add(fakeThings.process(id));
      this.#host.things.add(`${fakeThings.runDirectory(id)}/vmm.sock`);
      return handles;
    };
    return this.#host.calls.call("launch the VMM", work, undefined, signal);
  }

  find(vm: VmRecord): Promise<VmHandles | undefined> {
    return this.#host.calls.call(
      "find the VMM",
      async () => this.#processes.get(vm.id)?.handles,
    );
  }

  waitForExit(handles: VmHandles, signal: AbortSignal): Promise<void> {
    const process = [...this.#processes.values()].find(
      (candidate) => candidate.handles.pid === handles.pid,
    );
    return new Promise((resolve) => {
      const ended = process?.ended.signal ?? AbortSignal.abort();
      for (const end of [ended, signal]) {
        if (end.aborted) resolve();
        end.addEventListener("abort", () => resolve(), { once: true });
      }
    });
  }

  kill(vm: VmRecord): Promise<void> {
    return this.#host.calls.call("kill the VMM", async () => this.end(vm.id));
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
export function fakeVmmDrivers(
  driver: FakeVmm,
  host: FakeHostState,
): VmmDrivers {
  const choice: VmmChoice = {
    driver: driver.id,
    accel: "emulate",
    reason: "a test wants it",
  };
  return {
    get: (id) => {
      if (id !== driver.id) throw new Error(`there is no VMM driver ${id}`);
      return driver;
    },
    choose: (_wanted, _image, operation) =>
      host.calls.call(
        "choose a VMM",
        async () => choice,
        undefined,
        operation.signal,
      ),
  };
}
