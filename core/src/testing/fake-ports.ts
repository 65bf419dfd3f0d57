import type { GuestPorts } from "../contracts/guest-ports.js";
import {
  PortUnavailableError,
  type PortForwards,
} from "../contracts/port-forwards.js";
import type { ListeningPort, PortForward } from "../model/port.js";
import type { VmId, VmRecord } from "../model/vm.js";
import { anyAborted } from "./any-aborted.js";
import { fakeThings, type FakeHostState } from "./fake-host-state.js";

/** {@link GuestPorts} of guests that all listen on the same ports. */
export class FakeGuestPorts implements GuestPorts {
  listening: readonly ListeningPort[] = [
    { protocol: "tcp", address: "0.0.0.0", port: 22, process: "sshd" },
  ];

  async list(): Promise<readonly ListeningPort[]> {
    return this.listening;
  }
}

interface OpenForward {
  readonly vm: VmId;
  readonly forward: PortForward;
  readonly closed: AbortController;
}

/** {@link PortForwards} whose sockets are names. They end with the daemon. */
export class FakePortForwards implements PortForwards {
  readonly #host: FakeHostState;
  readonly #forwards = new Map<string, OpenForward>();

  constructor(host: FakeHostState) {
    this.#host = host;
  }

  async open(vm: VmRecord, forward: PortForward): Promise<void> {
    const { address, port } = forward;
    const own = fakeThings.forward(vm.id, forward);
    const endpoint = `forward ${address}:${String(port)} `;
    for (const thing of this.#host.things)
      if (thing.startsWith(endpoint) && thing !== own)
        throw new PortUnavailableError(address, port, "busy");
    this.#host.things.add(own);
    this.#forwards.set(own, {
      vm: vm.id,
      forward,
      closed: new AbortController(),
    });
  }

  async close(vm: VmRecord, forward: PortForward): Promise<void> {
    this.#close(fakeThings.forward(vm.id, forward));
  }

  async closeAll(vm: VmRecord): Promise<void> {
    for (const forward of this.listening(vm))
      this.#close(fakeThings.forward(vm.id, forward));
  }

  listening(vm: VmRecord): readonly PortForward[] {
    return [...this.#forwards]
      .filter(
        ([name, open]) => open.vm === vm.id && this.#host.things.has(name),
      )
      .map(([, { forward }]) => forward);
  }

  ended(
    vm: VmRecord,
    forward: PortForward,
    signal: AbortSignal,
  ): Promise<void> {
    const open = this.#forwards.get(fakeThings.forward(vm.id, forward));
    return anyAborted(open?.closed.signal ?? AbortSignal.abort(), signal);
  }

  #close(name: string): void {
    this.#host.things.delete(name);
    this.#forwards.get(name)?.closed.abort();
    this.#forwards.delete(name);
  }
}
