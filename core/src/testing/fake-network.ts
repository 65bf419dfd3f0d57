import {
  macAddress,
  type Network,
  type NetworkAddresses,
} from "../contracts/network.js";
import type { GuestNetwork } from "../model/guest-config.js";
import type { Nic } from "../model/machine-config.js";
import type { VmId, VmRecord } from "../model/vm.js";
import { HostCalls } from "./host-calls.js";

/** A {@link Network} that notes for which VMs it is prepared. */
export class FakeNetwork implements Network {
  mode: string;
  liveEgress: boolean;
  readonly prepared = new Set<VmId>();
  readonly #calls: HostCalls;

  constructor(
    options: { mode?: string; liveEgress?: boolean; calls?: HostCalls } = {},
  ) {
    this.mode = options.mode ?? "user";
    this.liveEgress = options.liveEgress ?? false;
    this.#calls = options.calls ?? new HostCalls();
  }

  addresses(lease: number): NetworkAddresses {
    const guestIp = `127.77.${String(lease >> 8)}.${String(lease & 255)}`;
    return { guestIp, ssh: { host: guestIp, port: 22 } };
  }

  guestNetwork(_vm: VmRecord): GuestNetwork {
    return {
      address: "10.0.2.15/24",
      gateway: "10.0.2.2",
      nameservers: ["10.0.2.3"],
    };
  }

  nic(vm: VmRecord): Nic {
    return {
      mac: macAddress(vm.id),
      backend: {
        kind: "user",
        forwards: [{ host: vm.runtime.ssh.host, hostPort: 22, guestPort: 22 }],
      },
    };
  }

  prepare(vm: VmRecord, signal: AbortSignal): Promise<void> {
    const work = async (): Promise<void> => void this.prepared.add(vm.id);
    return this.#calls.call("prepare the network", work, undefined, signal);
  }

  remove(vm: VmRecord): Promise<void> {
    return this.#calls.call("remove the network", async () => {
      this.prepared.delete(vm.id);
    });
  }
}
