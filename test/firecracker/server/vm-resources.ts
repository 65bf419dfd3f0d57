import { ApiFault } from "./api-fault.js";
import type {
  Balloon,
  BootSource,
  Drive,
  MachineConfiguration,
  NetworkInterface,
  VmConfiguration,
} from "./bodies.js";
import {
  checkedBalloon,
  checkedBootSource,
  checkedMachine,
  defaultMachine,
  withDrive,
  withNic,
} from "./configuration.js";

/** All that requests have configured. */
export class VmResources {
  #vm: VmConfiguration = { machine: defaultMachine, drives: [], nics: [] };
  // Parts that no guest of ours sees; kept for GET /vm/config.
  readonly #shown = new Map<string, unknown>();
  readonly #pmem = new Map<string, unknown>();
  #touched = false;

  get vm(): VmConfiguration {
    return this.#vm;
  }

  /** Was anything asked for that a process which loads a snapshot must not have been asked for? */
  get touched(): boolean {
    return this.#touched;
  }

  change(part: Partial<VmConfiguration>): void {
    this.#vm = { ...this.#vm, ...part };
  }

  /** Keeps what is only shown, under its name in the whole configuration. */
  show(name: string, body: unknown): void {
    this.#shown.set(name, body);
  }

  shown(name: string): unknown {
    return this.#shown.get(name);
  }

  /** Marks the process as one that boots, whatever comes of the request. */
  touch(): void {
    this.#touched = true;
  }

  /** One of the requests that only configure. @throws ApiFault */
  configure(operation: string, body: unknown): void {
    this.touch();
    const vm = this.#vm;
    switch (operation) {
      case "putGuestBootSource":
        this.change({ bootSource: checkedBootSource(body as BootSource) });
        return;
      case "putMachineConfiguration":
      case "patchMachineConfiguration": {
        const update = body as Partial<MachineConfiguration>;
        const whole = operation.startsWith("put");
        this.change({ machine: checkedMachine(update, vm, whole) });
        return;
      }
      case "putGuestDriveByID":
        this.change({ drives: withDrive(vm.drives, body as Drive) });
        return;
      case "putGuestNetworkInterfaceByID":
        this.change({ nics: withNic(vm.nics, body as NetworkInterface) });
        return;
      case "putBalloon":
        this.change({ balloon: checkedBalloon(body as Balloon, vm) });
        return;
      case "putEntropyDevice":
        this.change({ entropy: body });
        return;
      case "putSerialDevice":
        this.change({ serial: body as { serial_out_path?: string } });
        return;
      case "putMmdsConfig":
        this.#checkMmdsNics(body as { network_interfaces: string[] });
        this.show("mmds-config", body);
        return;
      case "putMemoryHotplug":
        this.show("memory-hotplug", body);
        return;
      case "putGuestPmemByID":
        this.#pmem.set((body as { id: string }).id, body);
        return;
      case "patchGuestPmemByID":
        return;
      default:
        throw new ApiFault(`${operation} is not served by the contract server`);
    }
  }

  /** The body of GET /vm/config. */
  whole(): unknown {
    const { machine, bootSource, drives, nics, ...rest } = this.#vm;
    return {
      ...Object.fromEntries(this.#shown),
      balloon: rest.balloon ?? null,
      drives,
      "boot-source": bootSource ?? {},
      "machine-config": machine,
      "network-interfaces": nics,
      vsock: rest.vsock ?? null,
      entropy: rest.entropy ?? null,
      pmem: [...this.#pmem.values()],
    };
  }

  /** What is asked of a memory device that was configured. @throws ApiFault when there is none */
  updateHotplug(size: object): void {
    this.show("memory-hotplug", { ...this.#hotplugDevice(), ...size });
  }

  /** @throws ApiFault when there is none */
  hotplugStatus(): unknown {
    return {
      ...{ slot_size_mib: 128, block_size_mib: 2, requested_size_mib: 0 },
      ...this.#hotplugDevice(),
      plugged_size_mib: 0,
    };
  }

  #hotplugDevice(): object {
    const device = this.shown("memory-hotplug") as object | undefined;
    if (!device)
      throw new ApiFault("Memory hotplug update error: Device not found");
    return device;
  }

  /** @throws ApiFault when there is no such interface */
  checkNic(id: string): void {
    if (!this.#vm.nics.some(({ iface_id }) => iface_id === id))
      throw new ApiFault(
        "Network config error: Error updating (patching) the network interface: Device not found",
      );
  }

  #checkMmdsNics({
    network_interfaces,
  }: {
    network_interfaces: string[];
  }): void {
    for (const id of network_interfaces)
      if (!this.#vm.nics.some(({ iface_id }) => iface_id === id))
        throw new ApiFault(
          `MMDS config error: The list of network interface IDs provided contains at least one ID that does not correspond to any existing network interface: ${id}`,
        );
  }
}
