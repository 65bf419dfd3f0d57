import {
  PortForwardedError,
  type GuestSsh,
  type Logger,
  type PortForward,
  type PortForwards,
  type VmRecord,
} from "@banger/core";
import { TcpForward } from "./tcp-forward.js";

type Deps = {
  readonly guestSsh: Pick<GuestSsh, "openPort">;
  readonly logger: Logger;
};

/** Listening TCP sockets of the daemon; each connection goes through the VM's kept SSH connection. */
export class TcpPortForwards implements PortForwards {
  readonly #deps: Deps;
  /** by VM id, then by address and port of the host */
  readonly #open = new Map<string, Map<string, TcpForward>>();

  constructor({ guestSsh, logger }: Deps) {
    this.#deps = { guestSsh, logger };
  }

  async open(vm: VmRecord, forward: PortForward): Promise<void> {
    const known = this.#open.get(vm.id)?.get(keyOf(forward));
    if (known?.isClosing) {
      await known.ended;
      return this.open(vm, forward);
    }
    if (known) {
      if (known.forward.guestPort === forward.guestPort)
        return known.listening();
      throw new PortForwardedError(vm.name, known.forward);
    }
    const forwards = this.#open.get(vm.id) ?? new Map<string, TcpForward>();
    const fresh = new TcpForward(this.#deps, vm, forward);
    this.#open.set(vm.id, forwards.set(keyOf(forward), fresh));
    void fresh.ended.then(() => this.#forget(vm.id, fresh));
    await fresh.listening();
  }

  async close(vm: VmRecord, forward: PortForward): Promise<void> {
    await this.#open.get(vm.id)?.get(keyOf(forward))?.close();
  }

  async closeAll(vm: VmRecord): Promise<void> {
    await closeEach(this.#open.get(vm.id)?.values() ?? []);
  }

  listening(vm: VmRecord): readonly PortForward[] {
    return [...(this.#open.get(vm.id)?.values() ?? [])]
      .filter(({ isListening }) => isListening)
      .map(({ forward }) => forward);
  }

  async ended(
    vm: VmRecord,
    forward: PortForward,
    signal: AbortSignal,
  ): Promise<void> {
    const open = this.#open.get(vm.id)?.get(keyOf(forward));
    if (!open || signal.aborted) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        signal.removeEventListener("abort", done);
        resolve();
      };
      signal.addEventListener("abort", done);
      void open.ended.then(done);
    });
  }

  /** For the daemon's end. Idempotent. */
  async dispose(): Promise<void> {
    const all = [...this.#open.values()].flatMap((one) => [...one.values()]);
    await closeEach(all);
  }

  #forget(vmId: string, forward: TcpForward): void {
    const forwards = this.#open.get(vmId);
    forwards?.delete(keyOf(forward.forward));
    if (forwards?.size === 0) this.#open.delete(vmId);
  }
}

function keyOf({ address, port }: PortForward): string {
  return `${address}:${port}`;
}

async function closeEach(forwards: Iterable<TcpForward>): Promise<void> {
  await Promise.all([...forwards].map((forward) => forward.close()));
}
