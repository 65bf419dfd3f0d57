import { join } from "node:path";
import type { Accel, Drive, Nic, VmmLaunch, VmRecord } from "@banger/core";
import { vmFileNames } from "../files/vm-files.js";
import { socketPath, vmSocketNames } from "../paths.js";
import { kernelCommandLine } from "./kernel-arguments.js";

/** The argument that tells a VM's QEMU from every other process. */
export function qmpArgument(vm: VmRecord): string {
  return `unix:${escape(qmpSocket(vm))},server=on,wait=off`;
}

export function qmpSocket(vm: VmRecord): string {
  return socketPath(vm.runtime.runDirectory, vmSocketNames.qmp);
}

export function consoleLog(vm: VmRecord): string {
  return join(vm.runtime.directory, vmFileNames.consoleLog);
}

export function vmmLog(vm: VmRecord): string {
  return join(vm.runtime.directory, vmFileNames.vmmLog);
}

/**
 * QEMU's whole command line. Pure.
 * @see QEMU, docs/system/invocation: a comma inside an option's value is written twice
 */
export function qemuArguments({
  vm,
  machine,
  image,
  accel,
  initrdPath,
}: VmmLaunch): string[] {
  return [
    ...[
      "-name",
      `banger-${vm.id}`,
      "-nodefaults",
      "-no-user-config",
      "-display",
      "none",
    ],
    // A panic (kernel argument panic=-1) and a reboot both end the VMM, which the daemon sees.
    "-no-reboot",
    ...[
      "-sandbox",
      "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
    ],
    ...accelArguments(accel),
    ...["-smp", String(machine.vcpus), "-m", `${String(machine.memoryMiB)}M`],
    ...["-kernel", image.files.kernel, "-initrd", initrdPath],
    ...["-append", kernelCommandLine(machine, accel)],
    ...Object.entries(machine.drives).flatMap(([id, drive]) =>
      driveArguments(id, drive),
    ),
    ...Object.entries(machine.nics).flatMap(([id, nic]) =>
      nicArguments(id, nic, machine.egress[id] === "open"),
    ),
    ...["-device", "virtio-serial-pci"],
    ...Object.entries(machine.channels).flatMap(
      ([name, { socketPath: path }], index) => [
        ...[
          "-chardev",
          `socket,id=ch${String(index)},path=${escape(path)},server=on,wait=off`,
        ],
        ...[
          "-device",
          `virtserialport,chardev=ch${String(index)},name=${escape(name)}`,
        ],
      ],
    ),
    ...["-device", "virtio-rng-pci"],
    ...["-chardev", `file,id=console,path=${escape(consoleLog(vm))},append=on`],
    ...["-serial", "chardev:console"],
    ...["-qmp", qmpArgument(vm)],
  ];
}

function accelArguments(accel: Accel): string[] {
  return accel === "kvm"
    ? ["-machine", "q35,usb=off,vmport=off", "-accel", "kvm", "-cpu", "host"]
    : // x86-64-v2 as Debian 12 and most programs want it; `max` costs half a second of boot for features few use.
      [
        "-machine",
        "q35,usb=off,vmport=off",
        "-accel",
        "tcg,thread=multi",
        "-cpu",
        "Nehalem",
      ];
}

function driveArguments(id: string, drive: Drive): string[] {
  const readOnly = drive.readOnly ? ",read-only=on" : "";
  // A block device has no length that QEMU could change, and no holes of a file system's.
  const driver = drive.path.startsWith("/dev/") ? "host_device" : "file";
  const file = `driver=${driver},filename=${escape(drive.path)},aio=threads,discard=unmap,locking=on`;
  return [
    ...["-blockdev", `node-name=${id}-file,${file}${readOnly}`],
    ...[
      "-blockdev",
      `node-name=${id},driver=${drive.format},file=${id}-file,discard=unmap,detect-zeroes=unmap${readOnly}`,
    ],
    // By default a full host disk would pause the guest, and whoever waits for it would hang.
    ...[
      "-device",
      `virtio-blk-pci,drive=${id},serial=${id.slice(0, 20)},werror=report,rerror=report`,
    ],
  ];
}

function nicArguments(id: string, nic: Nic, open: boolean): string[] {
  const device = `virtio-net-pci,netdev=${id},mac=${nic.mac},romfile=`;
  if (nic.backend.kind === "tap") {
    const tap = `tap,id=${id},ifname=${escape(nic.backend.device)},script=no,downscript=no`;
    return ["-netdev", tap, "-device", device];
  }
  const forwards = nic.backend.forwards.map(
    ({ host, hostPort, guestPort }) =>
      `,hostfwd=tcp:${host}:${String(hostPort)}-:${String(guestPort)}`,
  );
  const user = `user,id=${id},ipv6=off,restrict=${open ? "off" : "on"}${forwards.join("")}`;
  return ["-netdev", user, "-device", device];
}

function escape(value: string): string {
  return value.replaceAll(",", ",,");
}
