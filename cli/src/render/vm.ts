import { formatSize, type VmRecord, type VmSpec } from "@banger/core/client";
import { renderAge, renderDuration } from "./duration.js";
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
      renderState(vm, style),
      printableLine(vm.spec.image),
      `${vm.spec.vcpus} vCPU, ${formatSize(vm.spec.memoryMiB * 2 ** 20)}`,
      vm.runtime.guestIp,
      renderAge(vm.createdAt),
    ]),
  ]);
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
    ["image", `${printableLine(spec.image)} (${vm.imageId})`],
    ["spec", renderSpec(spec)],
    ["outside", spec.nat ? "yes" : "no"],
    ["plugins", spec.plugins.join(", ") || "none"],
    ["ephemeral", spec.ephemeral ? "yes" : undefined],
    ["address", runtime.guestIp],
    ["ssh", `${runtime.ssh.host}:${runtime.ssh.port}`],
    ["dns name", runtime.dnsName],
    ["network", runtime.networkMode],
    ["VMM", driver === "" ? undefined : driver],
    ["directory", runtime.directory],
    ["login", vm.state === "running" ? sshLine(vm, keyFile) : undefined],
    ["created", vm.createdAt],
    ["updated", vm.updatedAt],
  ];
  return renderTable(
    fields.flatMap(([name, value]) =>
      value === undefined ? [] : [[style.dim(name), value]],
    ),
  );
}

/** For ssh(1); `banger vm ssh` needs none of it. */
function sshLine({ runtime: { ssh } }: VmRecord, keyFile: string): string {
  const key = /^[\w@%+=:,./-]+$/.test(keyFile)
    ? keyFile
    : `'${keyFile.replaceAll("'", String.raw`'\''`)}'`;
  return `ssh -i ${key} -p ${ssh.port} root@${ssh.host}`;
}

/** The last start, stage by stage, hooks below their stage. */
export function renderTimeline(vm: VmRecord, style: Style): string {
  const { lastStart = [] } = vm.runtime;
  if (lastStart.length === 0) return "no start is recorded";
  return renderTable([
    ["AT", "TOOK", "WHAT"].map((title) => style.bold(title)),
    ...lastStart.map(({ kind, name, startMs, durationMs, failed }) => [
      renderDuration(startMs).padStart(8),
      renderDuration(durationMs).padStart(8),
      `${kind === "hook" ? "  " : ""}${printableLine(name)}${failed ? style.red(" failed") : ""}`,
    ]),
  ]);
}
