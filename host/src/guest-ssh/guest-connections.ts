import {
  CancelledError,
  GuestConnectionError,
  throwIfCancelled,
  type GuestKeys,
  type VmRecord,
} from "@banger/core";
import type { ClientKey } from "../keys/file-guest-keys.js";
import { dialGuest } from "./dial.js";
import type { SshConnection } from "./ssh-connection.js";
import type { SshLimits } from "./ssh-limits.js";

interface Entry {
  readonly address: string;
  readonly attempt: Promise<SshConnection>;
  readonly cancel: AbortController;
  connection: SshConnection | undefined;
  waiting: number;
}

/** At most one connection to each VM, opened when it is wanted and shared by all who want it. */
export class GuestConnections {
  readonly #keys: GuestKeys & ClientKey;
  readonly #limits: SshLimits;
  readonly #entries = new Map<string, Entry>();

  constructor(keys: GuestKeys & ClientKey, limits: SshLimits) {
    this.#keys = keys;
    this.#limits = limits;
  }

  /**
   * The connection to a VM. Those who come while it is being opened share the attempt; it ends when the last of them leaves.
   * @throws GuestConnectionError, CancelledError after `signal`
   */
  async get(vm: VmRecord, signal: AbortSignal): Promise<SshConnection> {
    throwIfCancelled(signal, `SSH to ${vm.name}`);
    const entry = this.#usable(vm) ?? this.#begin(vm);
    entry.waiting++;
    try {
      return await unlessAborted(entry.attempt, signal, vm.name);
    } catch (error) {
      if (error instanceof CancelledError && !signal.aborted)
        throw new GuestConnectionError(
          vm.name,
          "the connection was closed while it was opened",
          error,
        );
      throw error;
    } finally {
      entry.waiting--;
      this.#dropUnwanted(vm.id, entry);
    }
  }

  /** A further connection that is not shared; the caller destroys it. */
  async dial(vm: VmRecord, signal: AbortSignal): Promise<SshConnection> {
    const [privateKey, { publicKey }] = await Promise.all([
      this.#keys.clientPrivateKey(),
      this.#keys.hostKey(vm),
    ]);
    const target = {
      vmName: vm.name,
      endpoint: vm.runtime.ssh,
      hostKey: publicKey,
      privateKey,
    };
    return dialGuest(target, this.#limits, signal);
  }

  /** Idempotent. */
  close(vmId: string): void {
    const entry = this.#entries.get(vmId);
    if (entry) this.#drop(vmId, entry);
  }

  closeAll(): void {
    for (const vmId of [...this.#entries.keys()]) this.close(vmId);
  }

  #usable(vm: VmRecord): Entry | undefined {
    const entry = this.#entries.get(vm.id);
    if (!entry) return undefined;
    // Another address: the VM was stopped and started behind our back.
    if (entry.address === addressOf(vm) && entry.connection?.closed !== true)
      return entry;
    this.#drop(vm.id, entry);
    return undefined;
  }

  #begin(vm: VmRecord): Entry {
    const cancel = new AbortController();
    const entry: Entry = {
      address: addressOf(vm),
      attempt: this.dial(vm, cancel.signal),
      cancel,
      connection: undefined,
      waiting: 0,
    };
    this.#entries.set(vm.id, entry);
    entry.attempt.then(
      (connection) => {
        entry.connection = connection;
        if (cancel.signal.aborted) connection.destroy();
      },
      () => this.#drop(vm.id, entry),
    );
    return entry;
  }

  /** An attempt that nobody waits for any more. */
  #dropUnwanted(vmId: string, entry: Entry): void {
    if (entry.waiting === 0 && !entry.connection) this.#drop(vmId, entry);
  }

  #drop(vmId: string, entry: Entry): void {
    if (this.#entries.get(vmId) === entry) this.#entries.delete(vmId);
    entry.cancel.abort();
    entry.connection?.destroy();
  }
}

function addressOf({ runtime: { ssh } }: VmRecord): string {
  return `${ssh.host}:${ssh.port}`;
}

function unlessAborted<T>(
  work: Promise<T>,
  signal: AbortSignal,
  vmName: string,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void =>
      reject(new CancelledError(`SSH to ${vmName}`, signal.reason));
    signal.addEventListener("abort", onAbort);
    work
      .then(resolve, reject)
      .finally(() => signal.removeEventListener("abort", onAbort));
  });
}
