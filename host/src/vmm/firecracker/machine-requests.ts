import {
  agentChannel,
  BangerError,
  type Drive,
  type MachineConfig,
  type VmmLaunch,
} from "@banger/core";
import { kernelCommandLine } from "../kernel-arguments.js";
import type { FirecrackerApi } from "./api-client.js";
import type {
  BootSource,
  Drive as DriveBody,
  EntropyDevice,
  Logger,
  MachineConfiguration,
  Metrics,
  NetworkInterface,
  Vsock,
} from "./api-types.js";

/** Most vCPUs that Firecracker gives a guest: `vcpu_count` of its API description. */
const mostVcpus = 32;

/** What the kernel must know of Firecracker's machine. @see Firecracker, docs/api_requests/actions.md and docs/getting-started.md */
export const machineArguments: MachineConfig["kernelArgs"] = {
  // The only way in which a guest ends Firecracker.
  reboot: "k",
  // Devices are found through ACPI; there is no PCI bus to look at.
  pci: "off",
  // Its keyboard controller knows the reset only: the kernel would wait for answers of a keyboard and a mouse.
  "i8042.noaux": true,
  "i8042.nomux": true,
  "i8042.nopnp": true,
  "i8042.dumbkbd": true,
};

/** A machine has something that Firecracker does not give a guest. */
class MachineUnsupportedError extends BangerError {
  override readonly code = "ERR_MACHINE_UNSUPPORTED";
  override readonly kind = "usage";
  constructor(vmName: string, problem: string, hint: string) {
    super(`${vmName} cannot run on Firecracker: ${problem}`, { hint });
  }
}

/** Files as the Firecracker process sees them, so those of its jail if it has one. */
export interface MachinePaths {
  readonly kernel: string;
  readonly initrd: string;
  readonly log: string;
  readonly metrics: string;
  readonly vsock: string;
  /** of the drive with this id */
  readonly drive: (id: string, drive: Drive) => string;
}

/** One request of the API. */
export type MachineRequest =
  | { readonly put: "logger"; readonly body: Logger }
  | { readonly put: "metrics"; readonly body: Metrics }
  | { readonly put: "machine-config"; readonly body: MachineConfiguration }
  | { readonly put: "boot-source"; readonly body: BootSource }
  | { readonly put: "drive"; readonly body: DriveBody }
  | { readonly put: "network-interface"; readonly body: NetworkInterface }
  | { readonly put: "vsock"; readonly body: Vsock }
  | { readonly put: "entropy"; readonly body: EntropyDevice }
  | { readonly put: "start" };

/**
 * What is sent to a new Firecracker, in this order, so that it runs the guest. Pure.
 * @throws {@link MachineUnsupportedError}, SlotConflictError when a plugin wants a kernel argument that is our own
 */
export function machineRequests(
  { vm, machine, accel }: VmmLaunch,
  paths: MachinePaths,
): readonly MachineRequest[] {
  const refuse = (problem: string, hint: string): MachineUnsupportedError =>
    new MachineUnsupportedError(vm.name, problem, hint);
  if (machine.vcpus > mostVcpus)
    throw refuse(
      `it has ${String(machine.vcpus)} vCPUs`,
      `Give it at most ${String(mostVcpus)}: banger vm set ${vm.name} --vcpus ${String(mostVcpus)}`,
    );
  for (const channel of Object.keys(machine.channels))
    // The agent's is the vsock here.
    if (channel !== agentChannel)
      throw refuse(
        `a plugin wants the channel ${channel}, and it has no virtio ports`,
        "Use --driver qemu, or start without the plugin",
      );
  return [
    // First: whatever is wrong later is in the log.
    {
      put: "logger",
      body: { log_path: paths.log, level: "Warning", show_level: true },
    },
    { put: "metrics", body: { metrics_path: paths.metrics } },
    {
      put: "machine-config",
      body: {
        vcpu_count: machine.vcpus,
        mem_size_mib: machine.memoryMiB,
        // With it the number of vCPUs would have to be even.
        smt: false,
      },
    },
    {
      put: "boot-source",
      body: {
        kernel_image_path: paths.kernel,
        initrd_path: paths.initrd,
        boot_args: kernelCommandLine(machine, accel, machineArguments),
      },
    },
    ...Object.entries(machine.drives).map(([id, drive]) => ({
      put: "drive" as const,
      body: driveBody(id, drive, paths.drive(id, drive), refuse),
    })),
    ...Object.entries(machine.nics).map(([id, { mac, backend }]) => {
      if (backend.kind !== "tap")
        throw refuse(
          "it has no user networking",
          "Use --driver qemu, or set network.mode to bridge for new VMs",
        );
      return {
        put: "network-interface" as const,
        body: { iface_id: id, host_dev_name: backend.device, guest_mac: mac },
      };
    }),
    ...(vm.runtime.vsockCid === undefined
      ? []
      : [
          {
            put: "vsock" as const,
            body: { guest_cid: vm.runtime.vsockCid, uds_path: paths.vsock },
          },
        ]),
    { put: "entropy", body: {} },
    { put: "start" },
  ];
}

function driveBody(
  id: string,
  drive: Drive,
  path: string,
  refuse: (problem: string, hint: string) => Error,
): DriveBody {
  if (drive.format !== "raw")
    throw refuse(
      `its disk ${id} is ${drive.format}, and Firecracker reads raw images only`,
      "Use --driver qemu",
    );
  return {
    drive_id: id,
    path_on_host: path,
    is_root_device: id === "root",
    is_read_only: drive.readOnly,
    // What the guest flushes must be on the disk: by default Firecracker ignores it.
    cache_type: "Writeback",
    // The other engine is io_uring, which many hosts forbid.
    io_engine: "Sync",
  };
}

/** Sends one request. @throws what {@link FirecrackerApi} throws */
export function sendRequest(
  api: FirecrackerApi,
  request: MachineRequest,
  signal: AbortSignal,
): Promise<void> {
  switch (request.put) {
    case "logger":
      return api.putLogger(request.body, signal);
    case "metrics":
      return api.putMetrics(request.body, signal);
    case "machine-config":
      return api.putMachineConfiguration(request.body, signal);
    case "boot-source":
      return api.putBootSource(request.body, signal);
    case "drive":
      return api.putDrive(request.body, signal);
    case "network-interface":
      return api.putNetworkInterface(request.body, signal);
    case "vsock":
      return api.putVsock(request.body, signal);
    case "entropy":
      return api.putEntropy(request.body, signal);
    case "start":
      return api.start(signal);
  }
}
