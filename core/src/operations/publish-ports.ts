import type { Network } from "../contracts/network.js";
import type { PortForwards } from "../contracts/port-forwards.js";
import type { VmStore } from "../contracts/vm-store.js";
import { InvalidValueError } from "../errors.js";
import {
  throwIfCancelled,
  type OperationContext,
} from "../lifecycle/operation.js";
import type { PortForward } from "../model/port.js";
import type { VmRecord } from "../model/vm.js";
import { VmStateError } from "./operation-errors.js";
import {
  PortForwardedError,
  PortNotForwardedError,
} from "./published-port-errors.js";
import type { VmLocks } from "./vm-locks.js";

/** Published ports of one VM; each is a descriptor of the daemon. */
const mostForwards = 100;

export interface ForwardRequest {
  /** port of the host */
  readonly port: number;
  readonly guestPort: number;
  /** IPv4 address of the host; the VM's own when absent */
  readonly address?: string;
}

/**
 * Ports of guests on the host. A start opens those in the record and a teardown closes all, both under the VM's lock, so publishing
 * takes it too, for the moment that it needs to listen.
 */
export class PublishPorts {
  readonly #vmStore: VmStore;
  readonly #vmLocks: VmLocks;
  readonly #network: Network;
  readonly #portForwards: PortForwards;

  constructor({
    vmStore,
    vmLocks,
    network,
    portForwards,
  }: {
    vmStore: VmStore;
    vmLocks: VmLocks;
    network: Network;
    portForwards: PortForwards;
  }) {
    this.#vmStore = vmStore;
    this.#vmLocks = vmLocks;
    this.#network = network;
    this.#portForwards = portForwards;
  }

  /**
   * Publishes until it is removed, whenever the VM runs.
   * @throws PortUnavailableError, and the record has no trace of it; PortForwardedError
   */
  keep(
    known: VmRecord,
    request: ForwardRequest,
    signal: AbortSignal,
  ): Promise<PortForward> {
    return this.#vmLocks.run(known, signal, async (vm) => {
      const forward = this.#plan(vm, request);
      await this.#record(vm, (forwards) => [...forwards, forward]);
      if (vm.state !== "running") return forward;
      try {
        await this.#portForwards.open(vm, forward);
      } catch (error) {
        await this.#record(vm, (forwards) => without(forwards, forward.port));
        throw error;
      }
      return forward;
    });
  }

  /**
   * Publishes until the operation is cancelled.
   * @param opened called when it listens
   * @throws VmStateError when the VM does not run, or has stopped; PortUnavailableError, PortForwardedError, CancelledError
   */
  async hold(
    known: VmRecord,
    request: ForwardRequest,
    { signal }: Pick<OperationContext, "signal">,
    opened: (forward: PortForward) => void,
  ): Promise<never> {
    const forward = await this.#vmLocks.run(known, signal, async (vm) => {
      const planned = this.#plan(vm, request);
      if (vm.state !== "running")
        throw new VmStateError(
          `${vm.name} is not running; its state is ${vm.state}`,
          {
            hint: `Start it: banger vm start ${vm.name}; or publish it whenever the VM runs: --keep`,
          },
        );
      await this.#portForwards.open(vm, planned);
      return planned;
    });
    try {
      opened(forward);
      await this.#portForwards.ended(known, forward, signal);
    } finally {
      await this.#portForwards.close(known, forward);
    }
    throwIfCancelled(signal, "forwarding a port");
    throw new VmStateError(
      `${known.name} has stopped, or the port was removed; it is not forwarded any more`,
      { hint: `See: banger vm show ${known.name}` },
    );
  }

  /** @throws PortNotForwardedError */
  remove(known: VmRecord, port: number, signal: AbortSignal): Promise<void> {
    return this.#vmLocks.run(known, signal, async (vm) => {
      const all = this.#all(vm);
      const mine = all.filter((forward) => forward.port === port);
      if (mine.length === 0)
        throw new PortNotForwardedError(
          vm.name,
          port,
          all.map((forward) => forward.port),
        );
      await this.#record(vm, (forwards) => without(forwards, port));
      for (const forward of mine) await this.#portForwards.close(vm, forward);
    });
  }

  /** Those in the record and those that listen, each once. */
  #all(vm: VmRecord): readonly PortForward[] {
    const { forwards = [] } = vm.runtime;
    const held = this.#portForwards
      .listening(vm)
      .filter(({ port }) => !forwards.some((kept) => kept.port === port));
    return [...forwards, ...held];
  }

  #plan(
    vm: VmRecord,
    { port, guestPort, address }: ForwardRequest,
  ): PortForward {
    const all = this.#all(vm);
    const known = all.find((forward) => forward.port === port);
    if (known) throw new PortForwardedError(vm.name, known);
    if (all.length >= mostForwards)
      throw new InvalidValueError(
        `${vm.name} has ${String(all.length)} published ports, which is the most there may be`,
        { hint: "Remove one: banger vm forward <vm> PORT --remove" },
      );
    return {
      address: address ?? this.#network.publishAddress(vm),
      port,
      guestPort,
    };
  }

  async #record(
    vm: VmRecord,
    change: (forwards: readonly PortForward[]) => readonly PortForward[],
  ): Promise<void> {
    await this.#vmStore.update(vm.id, ({ runtime }) => {
      const { forwards: before = [], ...rest } = runtime;
      const forwards = change(before);
      return {
        runtime: forwards.length === 0 ? rest : { ...rest, forwards },
      };
    });
  }
}

function without(
  forwards: readonly PortForward[],
  port: number,
): readonly PortForward[] {
  return forwards.filter((forward) => forward.port !== port);
}
