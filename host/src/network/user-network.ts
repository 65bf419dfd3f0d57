import {
  macAddress,
  type GuestNetwork,
  type Network,
  type NetworkAddresses,
  type Nic,
  type VmRecord,
} from "@banger/core";

/**
 * QEMU's user networking: no device, rule or privilege on the host. Each VM has a loopback address of its own, on which QEMU forwards
 * connections to the guest.
 * @see QEMU, docs/system/devices/net: the guest's side is always 10.0.2.0/24
 */
export class UserNetwork implements Network {
  readonly mode = "user";
  /** QEMU's `restrict` is fixed at launch. */
  readonly liveEgress = false;
  readonly #sshPort: number;

  /** @param lowestPort first port that this user may bind, as in ip_unprivileged_port_start */
  constructor({ lowestPort }: { lowestPort: number }) {
    this.#sshPort = lowestPort <= 22 ? 22 : 2222;
  }

  addresses(lease: number): NetworkAddresses {
    const guestIp = `127.77.${String(lease >> 8)}.${String(lease & 255)}`;
    return { guestIp, ssh: { host: guestIp, port: this.#sshPort } };
  }

  guestNetwork(): GuestNetwork {
    return {
      address: "10.0.2.15/24",
      gateway: "10.0.2.2",
      nameservers: ["10.0.2.3"],
    };
  }

  nic(vm: VmRecord): Nic {
    const { host, port } = vm.runtime.ssh;
    return {
      mac: macAddress(vm.id),
      backend: {
        kind: "user",
        forwards: [{ host, hostPort: port, guestPort: 22 }],
      },
    };
  }

  /** Nothing to make: the forwards are QEMU's. */
  async prepare(): Promise<void> {
    await Promise.resolve();
  }

  /** Nothing to remove: they go with QEMU. */
  async remove(): Promise<void> {
    await Promise.resolve();
  }
}
