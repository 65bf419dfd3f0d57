import type {
  Check,
  GuestNetwork,
  NetworkAddresses,
  NetworkNames,
  Nic,
  VmId,
  VmRecord,
} from "@banger/core";
import type { HostNetwork } from "./host-network.js";
import { NetworkModeError } from "./network-errors.js";

/** Every network mode of this program: each VM keeps the one that it was made with. */
export class InstalledNetworks implements HostNetwork {
  readonly mode: string;
  readonly #new: HostNetwork;
  readonly #all: ReadonlyMap<string, HostNetwork>;

  /** @param mode of new VMs; one of the networks */
  constructor(mode: string, networks: readonly HostNetwork[]) {
    this.mode = mode;
    this.#all = new Map(networks.map((network) => [network.mode, network]));
    const found = this.#all.get(mode);
    if (!found) throw new Error(`there is no network of the mode ${mode}`);
    this.#new = found;
  }

  liveEgress(vm: VmRecord): boolean {
    return this.#of(vm).liveEgress(vm);
  }

  direct(vm: VmRecord): boolean {
    return this.#of(vm).direct(vm);
  }

  publishAddress(vm: VmRecord): string {
    return this.#of(vm).publishAddress(vm);
  }

  addresses(lease: number, id: VmId): NetworkAddresses {
    return this.#new.addresses(lease, id);
  }

  bridge(vm: VmRecord): string | undefined {
    return this.#of(vm).bridge(vm);
  }

  names(vm: VmRecord): NetworkNames {
    return this.#of(vm).names(vm);
  }

  guestNetwork(vm: VmRecord): GuestNetwork {
    return this.#of(vm).guestNetwork(vm);
  }

  nic(vm: VmRecord): Nic {
    return this.#of(vm).nic(vm);
  }

  /** @throws {@link NetworkModeError} for a record whose mode is none of these, as do all but `addresses` and `remove` */
  async prepare(vm: VmRecord, signal: AbortSignal): Promise<void> {
    await this.#of(vm).prepare(vm, signal);
  }

  async restore(vm: VmRecord, signal: AbortSignal): Promise<void> {
    await this.#of(vm).restore(vm, signal);
  }

  async remove(vm: VmRecord): Promise<void> {
    const network = this.#all.get(vm.runtime.networkMode);
    // A damaged record does not say which it was, and its VM must be deletable: removal is fine with nothing there.
    const candidates = network ? [network] : this.#all.values();
    for (const candidate of candidates) await candidate.remove(vm);
  }

  /** Of the mode that new VMs get. */
  async check(): Promise<Check> {
    return this.#new.check();
  }

  #of(vm: VmRecord): HostNetwork {
    const { networkMode } = vm.runtime;
    const network = this.#all.get(networkMode);
    if (network) return network;
    throw new NetworkModeError(vm.name, networkMode, [...this.#all.keys()]);
  }
}
