import { isAtLeast } from "../settings.js";
import { ApiFault } from "./api-fault.js";
import type {
  Balloon,
  BootSource,
  Drive,
  MachineConfiguration,
  NetworkInterface,
  VmConfiguration,
} from "./bodies.js";
import { isElf, isTap, openProblem } from "./host-resources.js";

// What a request adds to the configuration of a VM that has not started. All pure but for looking at the host's files and devices.

/** Firecracker's machine before anything is configured. */
export const defaultMachine: MachineConfiguration = {
  vcpu_count: 1,
  mem_size_mib: 128,
  smt: false,
  track_dirty_pages: false,
  huge_pages: "None",
};

/** @throws ApiFault */
export function checkedBootSource(source: BootSource): BootSource {
  const kernel = openProblem(source.kernel_image_path, "read");
  if (kernel !== undefined)
    throw new ApiFault(
      `Boot source error: The kernel file cannot be opened: ${kernel}`,
    );
  const initrd =
    source.initrd_path === undefined
      ? undefined
      : openProblem(source.initrd_path, "read");
  if (initrd !== undefined)
    throw new ApiFault(
      `Boot source error: The initrd file cannot be opened due to invalid path or invalid permissions. ${initrd}`,
    );
  return source;
}

/** @throws ApiFault */
export function checkedMachine(
  update: Partial<MachineConfiguration>,
  vm: VmConfiguration,
  whole: boolean,
): MachineConfiguration {
  const machine = { ...(whole ? defaultMachine : vm.machine), ...update };
  const refuse = (reason: string): never => {
    throw new ApiFault(`Machine config error: ${reason}`);
  };
  if (machine.smt && machine.vcpu_count > 1 && machine.vcpu_count % 2 === 1)
    refuse(
      "The number of vCPUs must be greater than 0, less than 32 and must be 1 or an even number if SMT is enabled.",
    );
  if (
    machine.mem_size_mib < 1 ||
    (machine.huge_pages === "2M" && machine.mem_size_mib % 2 === 1)
  )
    refuse(
      "The memory size (MiB) is either 0, or not a multiple of the configured page size.",
    );
  if (vm.balloon && vm.balloon.amount_mib > machine.mem_size_mib)
    refuse(
      "The memory size (MiB) is smaller than the previously set balloon device target size.",
    );
  return machine;
}

/** The drives with this one: in the order in which the guest finds them. @throws ApiFault */
export function withDrive(
  drives: readonly Drive[],
  drive: Drive,
): readonly Drive[] {
  const refuse = (reason: string): never => {
    throw new ApiFault(`Drive config error: ${reason}`);
  };
  if (drive.socket !== undefined)
    refuse("vhost-user drives are not served by the contract server");
  if (drive.path_on_host === undefined || drive.is_read_only === undefined)
    return refuse(
      "Unable to create the block device: The provided configuration is neither virtio nor vhost-user.",
    );
  const at = drives.findIndex(({ drive_id }) => drive_id === drive.drive_id);
  const root = drives.findIndex(({ is_root_device }) => is_root_device);
  if (drive.is_root_device && root >= 0 && root !== at)
    refuse("A root block device already exists!");
  checkDriveFile(drive.path_on_host, drive.is_read_only);
  if (at < 0)
    return drive.is_root_device ? [drive, ...drives] : [...drives, drive];
  const changed = drives.with(at, drive);
  // The root device is always the first: it changes places with whichever was.
  return drive.is_root_device && at > 0
    ? changed.with(0, drive).with(at, changed[0]!)
    : changed;
}

/** @throws ApiFault when it cannot be opened */
export function checkDriveFile(path: string, readOnly: boolean): void {
  const problem = openProblem(path, readOnly ? "read" : "read-write");
  if (problem !== undefined)
    throw new ApiFault(
      `Drive config error: Unable to create the virtio block device: Virtio backend error: Error manipulating the backing file: ${problem} ${path}`,
    );
}

/** @throws ApiFault */
export function withNic(
  nics: readonly NetworkInterface[],
  nic: NetworkInterface,
): readonly NetworkInterface[] {
  const mac = nic.guest_mac;
  if (mac !== undefined && !/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(mac))
    throw new ApiFault(
      `An error occurred when deserializing the json body of a request: invalid MAC address \`${mac}\`.`,
    );
  const others = nics.filter(({ iface_id }) => iface_id !== nic.iface_id);
  if (
    mac !== undefined &&
    others.some(
      ({ guest_mac }) => guest_mac?.toLowerCase() === mac.toLowerCase(),
    )
  )
    throw new ApiFault(
      `Network config error: The MAC address is already in use: ${mac}`,
    );
  checkTap(nic.host_dev_name, others);
  return [...others, nic];
}

/** The real server would make a TAP that is not there, where it may; ours must all be there. @throws ApiFault */
export function checkTap(
  name: string,
  others: readonly NetworkInterface[],
): void {
  const refuse = (reason: string): never => {
    throw new ApiFault(
      `Network config error: Could not create the network device: Open tap device failed: Error while creating ifreq structure: ${reason}. Invalid TUN/TAP Backend provided by ${name}. Check our documentation on setting up the network devices.`,
    );
  };
  if (others.some(({ host_dev_name }) => host_dev_name === name))
    refuse("Device or resource busy (os error 16)");
  if (!isTap(name)) refuse("No such device (os error 19)");
}

/** @throws ApiFault */
export function checkedBalloon(balloon: Balloon, vm: VmConfiguration): Balloon {
  checkBalloonSize(balloon.amount_mib, vm, "Balloon config error");
  return balloon;
}

/** @throws ApiFault */
export function checkBalloonSize(
  amountMib: number,
  { machine }: VmConfiguration,
  what: string,
): void {
  if (amountMib < 0 || amountMib > machine.mem_size_mib)
    throw new ApiFault(`${what}: Amount of pages requested is too large.`);
}

/** Can this version start this? @throws ApiFault */
export function checkStart(vm: VmConfiguration, version: string): void {
  const refuse = (reason: string): never => {
    throw new ApiFault(`Start microvm error: ${reason}`);
  };
  if (!vm.bootSource)
    return refuse("Cannot start microvm without kernel configuration.");
  if (!isAtLeast(version, "1.17") && !isElf(vm.bootSource.kernel_image_path))
    refuse(
      "System configuration error: Cannot load kernel due to invalid memory configuration or invalid kernel image: Kernel Loader: failed to load ELF kernel image: Kernel Loader: Invalid Elf magic number",
    );
}
