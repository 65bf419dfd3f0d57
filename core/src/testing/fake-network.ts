import {
  macAddress,
  type Network,
  type NetworkAddresses,
  type NetworkNames,
} from "../contracts/network.js";
import type { GuestNetwork } from "../model/guest-config.js";
import type { Nic } from "../model/machine-config.js";
import type { VmId, VmRecord } from "../model/vm.js";

/** A {@link Network} that notes for which VMs it is prepared. */
export class FakeNetwork implements Network {
  mode: string;
  /** what {@link FakeNetwork.liveEgress} answers for every VM */
  switchesLive: boolean;
  /** what {@link FakeNetwork.direct} answers for every VM */
  isDirect: boolean;
  /** what {@link FakeNetwork.bridge} answers for every VM */
  bridgeName: string | undefined;
  readonly prepared = new Set<VmId>();

  constructor(
    options: {
      mode?: string;
      liveEgress?: boolean;
      direct?: boolean;
    } = {},
  ) {
    this.mode = options.mode ?? "user";
    this.switchesLive = options.liveEgress ?? false;
    this.isDirect = options.direct ?? false;
  }

  liveEgress(): boolean {
    return this.switchesLive;
  }

  direct(): boolean {
    return this.isDirect;
  }

  addresses(lease: number): NetworkAddresses {
    const guestIp = `127.77.${String(lease >> 8)}.${String(lease & 255)}`;
    return { guestIp, ssh: { host: guestIp, port: 22 } };
  }

  bridge(): string | undefined {
    return this.bridgeName;
  }

  names(_vm: VmRecord): NetworkNames {
    return {};
  }

  publishAddress(vm: VmRecord): string {
    return vm.runtime.guestIp;
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

  async prepare(vm: VmRecord): Promise<void> {
    this.prepared.add(vm.id);
  }

  async restore(vm: VmRecord): Promise<void> {
    this.prepared.add(vm.id);
  }

  async remove(vm: VmRecord): Promise<void> {
    this.prepared.delete(vm.id);
  }
}
