import { createServer } from "node:net";
import {
  BangerError,
  macAddress,
  type Check,
  type GuestNetwork,
  type NetworkAddresses,
  type NetworkNames,
  type Nic,
  type VmRecord,
} from "@banger/core";
import type { HostNetwork } from "./host-network.js";

class AddressBusyError extends BangerError {
  override readonly code = "ERR_ADDRESS_BUSY";
  override readonly kind = "conflict";
  constructor(host: string, port: number, cause: unknown) {
    super(
      `${host}:${String(port)}, where the guest's SSH should answer, is in use`,
      {
        hint: `Find the program: ss -ltnp 'src ${host}'`,
        cause,
      },
    );
  }
}

/**
 * QEMU's user networking: no device, rule or privilege on the host. Each VM has a loopback address of its own, on which QEMU forwards
 * connections to the guest.
 * @see QEMU, docs/system/devices/net: the guest's side is always 10.0.2.0/24
 */
export class UserNetwork implements HostNetwork {
  readonly mode = "user";
  readonly #sshPort: number;
  readonly #offset: number;

  /**
   * @param lowestPort first port that this user may bind, as in ip_unprivileged_port_start
   * @param offset where this install's addresses begin, so that two installs on one host rarely meet
   */
  constructor({
    lowestPort,
    offset = 0,
  }: {
    lowestPort: number;
    offset?: number;
  }) {
    this.#sshPort = lowestPort <= 22 ? 22 : 2222;
    this.#offset = offset;
  }

  /** QEMU's `restrict` is fixed at launch. */
  liveEgress(): boolean {
    return false;
  }

  /** Only what QEMU forwards reaches the guest. */
  direct(): boolean {
    return false;
  }

  bridge(): undefined {
    return undefined;
  }

  /** QEMU's own. */
  names(): NetworkNames {
    return {};
  }

  addresses(lease: number): NetworkAddresses {
    const number = (this.#offset + lease) & 0xffff;
    const guestIp = `127.77.${String(number >> 8)}.${String(number & 255)}`;
    return { guestIp, ssh: { host: guestIp, port: this.#sshPort } };
  }

  publishAddress(vm: VmRecord): string {
    return vm.runtime.guestIp;
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

  /**
   * Makes nothing, as the forwards are QEMU's, but finds out before QEMU does whether the address is free.
   * @throws {@link AddressBusyError}
   */
  async prepare(vm: VmRecord): Promise<void> {
    const { host, port } = vm.runtime.ssh;
    const server = createServer();
    try {
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject).listen(port, host, resolve);
      });
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EADDRINUSE") throw new AddressBusyError(host, port, error);
      throw error;
    } finally {
      server.close();
    }
  }

  /** Nothing to put back: the forwards are QEMU's own. */
  async restore(): Promise<void> {
    await Promise.resolve();
  }

  /** Nothing to remove: they go with QEMU. */
  async remove(): Promise<void> {
    await Promise.resolve();
  }

  async check(): Promise<Check> {
    return Promise.resolve({
      id: "host.network",
      title: "network of the guests",
      status: "pass",
      detail:
        "mode user: QEMU's own network, which needs nothing of the host; with QEMU only",
    });
  }
}
