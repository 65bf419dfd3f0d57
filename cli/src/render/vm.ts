import {
  formatSize,
  type GuestFacts,
  type PortForward,
  type VmIo,
  type VmRecord,
  type VmSpec,
  type VmStats,
} from "@banger/core/client";
import { renderAge } from "./duration.js";
import { printable, printableLine } from "./printable.js";
import type { Style } from "./style.js";
import { renderTable } from "./table.js";

export function renderVmTable(vms: readonly VmRecord[], style: Style): string {
  if (vms.length === 0) return "";
  const header = ["NAME", "ID", "STATE", "IMAGE", "SIZE", "ADDRESS", "AGE"];
  return renderTable([
    header.map((title) => style.bold(title)),
    ...vms.map((vm) => [
      vm.name,
      vm.id,
      renderStateMark(vm, style),
      printableLine(vm.spec.image),
      `${vm.spec.vcpus} vCPU, ${formatSize(vm.spec.memoryMiB * 2 ** 20)}`,
      vm.runtime.guestIp,
      renderAge(vm.createdAt),
    ]),
  ]);
}

/** `running`, or `running !` when the last look at it found problems, which `vm show` lists. */
function renderStateMark(vm: VmRecord, style: Style): string {
  const state = renderState(vm, style);
  const { problems = [] } = vm.runtime;
  return problems.length === 0 ? state : `${state} ${style.yellow("!")}`;
}

function renderState({ state }: VmRecord, style: Style): string {
  switch (state) {
    case "running":
      return style.green(state);
    case "error":
      return style.red(state);
    case "created":
    case "stopped":
      return style.dim(state);
  }
}

/** `1 vCPU | 2048 MiB | 8 GiB disk`, and how its CPU runs once that is known. */
export function renderSpec(spec: VmSpec, accel?: string): string {
  return [
    `${spec.vcpus} vCPU`,
    `${spec.memoryMiB} MiB`,
    `${formatSize(spec.diskSizeBytes)} disk`,
    ...(accel === undefined ? [] : [accel]),
    ...(spec.nat ? ["nat"] : []),
  ].join(" | ");
}

/** All of a record, a line each. `keyFile` is the private key that the guest lets in. */
export function renderVm(vm: VmRecord, style: Style, keyFile: string): string {
  const { spec, runtime } = vm;
  const driver = [runtime.driver, runtime.accel].filter(Boolean).join(", ");
  const { problems = [], forwards = [] } = runtime;
  const fields: readonly (readonly [string, string | undefined])[] = [
    ["name", vm.name],
    ["id", vm.id],
    ["state", renderState(vm, style)],
    [
      "error",
      runtime.lastError === undefined
        ? undefined
        : printable(runtime.lastError),
    ],
    ...named("problems", problems.map(printableLine).map(style.yellow)),
    ["image", `${printableLine(spec.image)} (${vm.imageId})`],
    ["spec", renderSpec(spec)],
    ["outside", spec.nat ? "yes" : "no"],
    ["plugins", spec.plugins.join(", ") || "none"],
    ["ephemeral", spec.ephemeral ? "yes" : undefined],
    ["address", runtime.guestIp],
    ["ssh", `${runtime.ssh.host}:${runtime.ssh.port}`],
    ["dns name", runtime.dnsName],
    ["network", runtime.networkMode],
    ...named("forwards", forwards.map(renderForward)),
    ["VMM", driver === "" ? undefined : driver],
    ["directory", runtime.directory],
    ["login", vm.state === "running" ? sshLine(vm, keyFile) : undefined],
    ["stats", vm.stats ? renderStatsLine(vm.stats) : undefined],
    ["last used", runtime.lastUsedAt],
    ["created", vm.createdAt],
    ["updated", vm.updatedAt],
  ];
  return renderTable(
    fields.flatMap(([name, value]) =>
      value === undefined ? [] : [[style.dim(name), value]],
    ),
  );
}

/** A field with a line for each value, named in the first. */
function named(
  name: string,
  values: readonly string[],
): readonly (readonly [string, string])[] {
  return values.map((value, index) => [index === 0 ? name : "", value]);
}

function renderForward({ address, port, guestPort }: PortForward): string {
  return `${address}:${port} to port ${guestPort}`;
}

/** `CPU 12 %, memory 310 MiB, disk 1.2 GiB; read 12 MiB, written 1 MiB; guest 210 MiB of 1 GiB, load 0.10; 5 s ago` */
function renderStatsLine(stats: VmStats): string {
  const { cpuPercent, residentBytes, diskBytes, io, guest, collectedAt } =
    stats;
  const host = [
    ...(cpuPercent === undefined ? [] : [`CPU ${Math.round(cpuPercent)} %`]),
    `memory ${formatSize(residentBytes)}`,
    `disk ${formatSize(diskBytes)}`,
  ].join(", ");
  return [
    host,
    ...(io === undefined ? [] : [renderIoFacts(io)]),
    ...(guest === undefined ? [] : [renderGuestFacts(guest)]),
    `${renderAge(collectedAt)} ago`,
  ].join("; ");
}

function renderIoFacts(io: VmIo): string {
  const { networkReceivedBytes: received, networkSentBytes: sent } = io;
  return [
    `read ${formatSize(io.diskReadBytes)}`,
    `written ${formatSize(io.diskWrittenBytes)}`,
    ...(received === undefined ? [] : [`received ${formatSize(received)}`]),
    ...(sent === undefined ? [] : [`sent ${formatSize(sent)}`]),
  ].join(", ");
}

function renderGuestFacts(guest: GuestFacts): string {
  const { memoryTotalBytes: total, memoryAvailableBytes: available } = guest;
  const used = formatSize(Math.max(0, total - available));
  const [load] = guest.loadAverage;
  return `guest ${used} of ${formatSize(total)}, load ${load.toFixed(2)}`;
}

/** For ssh(1); `banger vm ssh` needs none of it. */
function sshLine({ runtime: { ssh } }: VmRecord, keyFile: string): string {
  const key = /^[\w@%+=:,./-]+$/.test(keyFile)
    ? keyFile
    : `'${keyFile.replaceAll("'", String.raw`'\''`)}'`;
  return `ssh -i ${key} -p ${ssh.port} root@${ssh.host}`;
}
