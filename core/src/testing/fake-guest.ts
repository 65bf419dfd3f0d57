import { PassThrough, type Duplex } from "node:stream";
import {
  GuestNotReadyError,
  type AgentOutput,
  type GuestAgent,
  type GuestProcess,
  type GuestSsh,
} from "../contracts/guest.js";
import { CancelledError } from "../errors.js";
import type { GuestFacts } from "../model/stats.js";
import type { VmRecord } from "../model/vm.js";
import { anyAborted } from "./any-aborted.js";
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
  /** what every guest says of itself */
  guestFacts: GuestFacts = {
    memoryTotalBytes: 256 * 2 ** 20,
    memoryAvailableBytes: 128 * 2 ** 20,
    loadAverage: [0.5, 0.25, 0],
  };
  /** how far every guest's clock is ahead, ms */
  clockOffsetMs = 0;
  readonly #vmm: FakeVmm;

  constructor(vmm: FakeVmm) {
    this.#vmm = vmm;
  }

  async waitReady(
    vm: VmRecord,
    limitMs: number,
    signal: AbortSignal,
  ): Promise<void> {
    if (this.behaviour === "silent")
      throw new GuestNotReadyError(
        vm.name,
        `said nothing for ${String(limitMs)} ms`,
        [],
      );
    if (this.behaviour === "dies") this.#vmm.end(vm.id);
    if (this.behaviour === "answers" || this.behaviour === "stubborn") return;
    await anyAborted(signal);
    throw new CancelledError("the wait");
  }

  async powerOff(vm: VmRecord): Promise<void> {
    if (this.behaviour !== "stubborn") this.#vmm.end(vm.id);
  }

  async ping(): Promise<number> {
    return 1;
  }

  async facts(): Promise<GuestFacts> {
    return { ...this.guestFacts };
  }

  async clockOffset(): Promise<number> {
    return this.clockOffsetMs;
  }

  /** Every command succeeds and says nothing. */
  async exec(): Promise<AgentOutput> {
    const nothing = new Uint8Array();
    return { exit: { exitCode: 0 }, stdout: nothing, stderr: nothing };
  }
}

/** A {@link GuestSsh} to guests where every command succeeds and says nothing. */
export class FakeGuestSsh implements GuestSsh {
  readonly #host: FakeHostState;

  constructor(host: FakeHostState) {
    this.#host = host;
  }

  async exec(vm: VmRecord): Promise<GuestProcess> {
    await this.connect(vm);
    return endedProcess();
  }

  async connect(vm: VmRecord): Promise<void> {
    this.#host.things.add(fakeThings.connection(vm.id));
  }

  /** A peer that sends back what it gets. */
  async openPort(vm: VmRecord): Promise<Duplex> {
    await this.connect(vm);
    return new PassThrough();
  }

  async disconnect(vm: VmRecord): Promise<void> {
    this.#host.things.delete(fakeThings.connection(vm.id));
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
