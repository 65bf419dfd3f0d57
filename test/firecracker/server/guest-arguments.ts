import { readFileSync, statSync } from "node:fs";
import type { Drive, NetworkInterface, VmConfiguration } from "./bodies.js";

/** What QEMU is started with, beside the VM's own configuration. */
export interface GuestSetting {
  readonly pci: boolean;
  readonly kernelArguments: string;
  /** file descriptors of QEMU's side of two socket pairs */
  readonly consoleFd: number;
  readonly agentFd: number;
  /** file with the state of a guest to go on with */
  readonly incoming?: string;
}

/** Name of the guest agent's port, as QEMU's own agent looks for it. */
const agentPort = "org.qemu.guest_agent.0";

/** Id of the port's device, by which QEMU's events name it. */
export const agentDevice = "agent-port";

/** QEMU's arguments for a machine with Firecracker's devices: virtio over MMIO found through ACPI, or over PCI. */
export function guestArguments(
  vm: VmConfiguration,
  setting: GuestSetting,
): string[] {
  const transport = setting.pci ? "pci" : "device";
  const { machine, balloon } = vm;
  return [
    ...["-nodefaults", "-no-user-config", "-display", "none"],
    // A reset is told as an event and does not happen; a power-off leaves QEMU as it leaves Firecracker: without a guest, but there.
    ...["-no-reboot", "-no-shutdown", "-S"],
    ...["-machine", machineType(setting.pci)],
    ...["-accel", "tcg,thread=multi", "-cpu", "Nehalem"],
    ...[
      "-smp",
      String(machine.vcpu_count),
      "-m",
      `${String(machine.mem_size_mib)}M`,
    ],
    ...bootArguments(vm, setting),
    // `reboot=k` resets through the keyboard controller, which QEMU's microvm has only when asked.
    ...(setting.pci ? [] : ["-device", "i8042"]),
    ...vm.drives.flatMap((drive, index) =>
      driveArguments(drive, index, transport),
    ),
    ...vm.nics.flatMap((nic, index) => nicArguments(nic, index, transport)),
    ...["-device", `virtio-serial-${transport}`],
    ...["-chardev", `socket,id=agent,fd=${String(setting.agentFd)}`],
    ...[
      "-device",
      `virtserialport,chardev=agent,name=${agentPort},id=${agentDevice}`,
    ],
    ...(vm.entropy === undefined ? [] : ["-device", `virtio-rng-${transport}`]),
    ...(balloon
      ? [
          "-device",
          `virtio-balloon-${transport},id=balloon,deflate-on-oom=${onOff(balloon.deflate_on_oom)},free-page-reporting=${onOff(balloon.free_page_reporting === true)}`,
        ]
      : []),
    ...["-chardev", `socket,id=console,fd=${String(setting.consoleFd)}`],
    ...["-serial", "chardev:console"],
    ...["-chardev", "stdio,id=monitor,signal=off"],
    ...["-mon", "chardev=monitor,mode=control"],
    ...(setting.incoming === undefined
      ? []
      : ["-incoming", `exec:cat ${shellWord(setting.incoming)}`]),
  ];
}

function machineType(pci: boolean): string {
  return pci
    ? "q35,usb=off,vmport=off"
    : "microvm,acpi=on,rtc=on,pic=on,pit=on,isa-serial=on,auto-kernel-cmdline=off";
}

function bootArguments(vm: VmConfiguration, setting: GuestSetting): string[] {
  if (!vm.bootSource) return [];
  const { kernel_image_path, initrd_path } = vm.bootSource;
  return [
    ...["-kernel", kernel_image_path],
    ...(initrd_path === undefined ? [] : ["-initrd", initrd_path]),
    ...["-append", kernelCommandLine(vm, setting)],
  ];
}

/** What Firecracker uses when the boot source names no arguments. */
const defaultBootArgs =
  "reboot=k panic=1 nomodule 8250.nr_uarts=0 i8042.noaux i8042.nomux i8042.dumbkbd swiotlb=noforce";

/** The given arguments, what Firecracker appends, and what emulation needs. */
function kernelCommandLine(
  vm: VmConfiguration,
  { pci, kernelArguments }: GuestSetting,
): string {
  const root = vm.drives.find((drive) => drive.is_root_device);
  const rootArgs = root && [
    root.partuuid === undefined
      ? "root=/dev/vda"
      : `root=PARTUUID=${root.partuuid}`,
    root.is_read_only === true ? "ro" : "rw",
  ];
  return [
    vm.bootSource?.boot_args ?? defaultBootArgs,
    ...(rootArgs ?? []),
    ...(pci ? [] : ["pci=off"]),
    // An emulated clock is too uneven for the kernel to calibrate by.
    `tsc_early_khz=${String(hostClockKhz())} no_timer_check tsc=reliable`,
    kernelArguments,
  ]
    .filter((part) => part !== "")
    .join(" ");
}

function hostClockKhz(): number {
  const mhz = /^cpu MHz\s*:\s*([\d.]+)/m.exec(
    readFileSync("/proc/cpuinfo", "utf8"),
  )?.[1];
  return Math.round(Number(mhz ?? 2000)) * 1000;
}

function driveArguments(
  drive: Drive,
  index: number,
  transport: string,
): string[] {
  const path = drive.path_on_host ?? "";
  const file = statSync(path);
  const driver = file.isBlockDevice() ? "host_device" : "file";
  const readOnly = onOff(drive.is_read_only === true);
  const noFlush = onOff(drive.cache_type !== "Writeback");
  const node = `drive${String(index)}`;
  return [
    "-blockdev",
    `node-name=${node},driver=raw,read-only=${readOnly},cache.no-flush=${noFlush},file.driver=${driver},file.filename=${escape(path)},file.locking=off`,
    "-device",
    `virtio-blk-${transport},drive=${node},id=${node}-device,serial=${driveSerial(file)},werror=report,rerror=report`,
  ];
}

/** Firecracker tells a guest the device and inode numbers of the file, in 20 bytes. */
function driveSerial({
  dev,
  rdev,
  ino,
}: {
  dev: number;
  rdev: number;
  ino: number;
}): string {
  return `${String(dev)}${String(rdev)}${String(ino)}`.slice(0, 20);
}

function nicArguments(
  nic: NetworkInterface,
  index: number,
  transport: string,
): string[] {
  const id = `nic${String(index)}`;
  return [
    "-netdev",
    `tap,id=${id},ifname=${escape(nic.host_dev_name)},script=no,downscript=no`,
    "-device",
    `virtio-net-${transport},netdev=${id}${transport === "pci" ? ",romfile=" : ""}${nic.guest_mac === undefined ? "" : `,mac=${nic.guest_mac}`}${nic.mtu === undefined ? "" : `,host_mtu=${String(nic.mtu)}`}`,
  ];
}

function onOff(value: boolean): "on" | "off" {
  return value ? "on" : "off";
}

/** A comma inside an option's value is written twice. */
function escape(value: string): string {
  return value.replaceAll(",", ",,");
}

/** A word of sh, and of the QEMU option that holds it. */
export function shellWord(value: string): string {
  return `'${value.replaceAll("'", "'\\''")}'`;
}
