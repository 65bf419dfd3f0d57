import { PassThrough } from "node:stream";
import {
  GuestNotReadyError,
  type GuestAgent,
  type GuestProcess,
  type GuestSsh,
} from "../contracts/guest.js";
import { CancelledError } from "../errors.js";
import type { VmRecord } from "../model/vm.js";
import { fakeThings, type FakeHostState } from "./fake-host-state.js";
import type { FakeVmm } from "./fake-vmm.js";

/**
 * How guests behave: they answer and power off; never answer; end before they answer; answer, and ignore being asked to power off;
 * or hang, so that only a cancel ends the wait.
 */
export type GuestBehaviour =
  "answers" | "silent" | "dies" | "stubborn" | "hangs";

/** A {@link GuestAgent} in guests that behave as the test says. */
export class FakeGuestAgent implements GuestAgent {
  behaviour: GuestBehaviour = "answers";
  readonly #host: FakeHostState;
  readonly #vmm: FakeVmm;

  constructor(host: FakeHostState, vmm: FakeVmm) {
    this.#host = host;
    this.#vmm = vmm;
  }

  waitReady(vm: VmRecord, limitMs: number, signal: AbortSignal): Promise<void> {
    const work = async (): Promise<void> => {
      if (this.behaviour === "silent")
        throw new GuestNotReadyError(
          vm.name,
          `said nothing for ${String(limitMs)} ms`,
          [],
        );
      if (this.behaviour === "dies") this.#vmm.end(vm.id);
      if (this.behaviour === "dies" || this.behaviour === "hangs")
        await aborted(signal);
    };
    return this.#host.calls.call("wait for the guest", work, undefined, signal);
  }

  powerOff(vm: VmRecord, signal: AbortSignal): Promise<void> {
    const work = async (): Promise<void> => {
      if (this.behaviour !== "stubborn") this.#vmm.end(vm.id);
    };
    return this.#host.calls.call("power off", work, undefined, signal);
  }

  ping(_vm: VmRecord, signal: AbortSignal): Promise<number> {
    return this.#host.calls.call("ping", async () => 1, undefined, signal);
  }
}

/** A {@link GuestSsh} to guests where every command succeeds and says nothing. */
export class FakeGuestSsh implements GuestSsh {
  readonly #host: FakeHostState;

  constructor(host: FakeHostState) {
    this.#host = host;
  }

  async exec(
    vm: VmRecord,
    _command: unknown,
    signal: AbortSignal,
  ): Promise<GuestProcess> {
    await this.connect(vm, signal);
    return endedProcess();
  }

  connect(vm: VmRecord, signal: AbortSignal): Promise<void> {
    const work = async (): Promise<void> => {
      this.#host.things.add(fakeThings.connection(vm.id));
    };
    return this.#host.calls.call("connect", work, undefined, signal);
  }

  disconnect(vm: VmRecord): Promise<void> {
    return this.#host.calls.call("disconnect", async () => {
      this.#host.things.delete(fakeThings.connection(vm.id));
    });
  }
}

/** A guest process that ended well and said nothing. */
export function endedProcess(): GuestProcess {
  return {
    stdin: new PassThrough().resume(),
    stdout: new PassThrough().end(),
    stderr: new PassThrough().end(),
    exit: Promise.resolve({ exitCode: 0 }),
    resize: () => undefined,
    terminate: () => Promise.resolve(),
  };
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const end = (): void => reject(new CancelledError("the wait"));
    if (signal.aborted) end();
    signal.addEventListener("abort", end, { once: true });
  });
}
