import {
  systemLayout,
  type SystemStatus,
  type UninstallReport,
} from "@banger/host/client";
import type { Build } from "../build-id.js";
import type { InstallSummary } from "../commands/system.js";
import type { Style } from "./style.js";
import { renderTable } from "./table.js";

/** What an install will make, for the one who is asked. */
export function renderInstallPlan(
  { record, isUpgrade, copiesNode, userVms }: InstallSummary,
  style: Style,
): string {
  const { owner, version, build, service, vmm, plugins } = record;
  const rows = [
    ["owner", `${owner.name} (uid ${owner.uid}), as whom the daemon runs`],
    ["program", `banger ${version}, build ${build}, copied as root's`],
    ["Node.js", copiesNode ? "copied too" : "the host's own, which is root's"],
    [
      "services",
      service === "systemd"
        ? "two systemd units"
        : "no systemd: started by hand",
    ],
    ["plugins", plugins.join(", ")],
    ["VMMs", Object.values(vmm).join(", ") || "only QEMU, which needs no root"],
    ["data", `${systemLayout.dataDirectory}, ${systemLayout.cacheDirectory}`],
  ];
  return [
    style.bold(isUpgrade ? "Bring the system install up to date:" : "Install:"),
    table(rows, style),
    ...(userVms === 0 || isUpgrade
      ? []
      : [style.yellow(userVmsNote(record.owner.name, userVms))]),
  ].join("\n");
}

function userVmsNote(owner: string, count: number): string {
  return [
    `${owner} has VMs without it (${count}). They stay where they are, and ${owner}'s banger does not see them any more.`,
    `To delete them first: banger vm delete $(banger vm list -aq)`,
  ].join("\n");
}

export function renderInstalled({ record, isUpgrade }: InstallSummary): string {
  const { owner, version, build, service } = record;
  return [
    `banger ${version} (build ${build}) is ${isUpgrade ? "up to date" : "installed"} for ${owner.name}`,
    ...(service === "systemd"
      ? []
      : [
          "Start the helper, which has to run for as long as VMs are used: sudo banger system run-helper",
        ]),
  ].join("\n");
}

/** A table of two columns. */
export function renderSystemStatus(
  status: SystemStatus,
  own: Build,
  style: Style,
): string {
  const { record, units, helper, daemon, problems, paths } = status;
  const { owner, version, build, installedAt, service } = record;
  const drift =
    build === own.id ? "" : style.yellow(` (this command is build ${own.id})`);
  const rows = [
    ["owner", `${owner.name} (uid ${owner.uid})`],
    ["version", version],
    ["build", `${build}${drift}`],
    ["installed", installedAt],
    ["service", service],
    ...Object.entries(units).map(([name, state]) => [
      name,
      state === "active" ? style.green(state) : style.red(state),
    ]),
    [
      "helper",
      helper === "silent"
        ? `${stateText(helper, style)}; start it: ${startHelper[service]}`
        : stateText(helper, style),
    ],
    ["daemon", stateText(daemon, style)],
    ["plugins", record.plugins.join(", ")],
    ["VMMs", Object.values(record.vmm).join(", ") || "-"],
    ["program", `${paths.programsDirectory}/${record.program}`],
    ["configuration", `${paths.configDirectory}/config.toml`],
    ["state", paths.stateDirectory],
    ["cache", paths.cacheDirectory],
    ["sockets", `${paths.runDirectory}, ${paths.helperDirectory}`],
    ...problems.map((problem) => ["problem", style.red(problem)]),
  ];
  return table(rows, style);
}

const startHelper = {
  systemd: "sudo banger system restart",
  none: "sudo banger system run-helper",
} as const;

const stateTexts = {
  answers: "answers",
  silent: "does not answer",
  closed: "only its owner and root can ask",
} as const;

function stateText(state: SystemStatus["helper"], style: Style): string {
  const colour = { answers: style.green, silent: style.red, closed: style.dim };
  return colour[state](stateTexts[state]);
}

/** What went, and what is still there. */
export function renderUninstalled({ removed, kept }: UninstallReport): string {
  return renderTable([
    ...removed.map((path) => ["removed", path]),
    ...kept.map((path) => ["kept", path]),
    ...(removed.length + kept.length === 0
      ? [["there was no system install"]]
      : []),
  ]);
}

function table(rows: readonly (readonly string[])[], style: Style): string {
  return renderTable(
    rows.map(([name = "", value = ""]) => [style.dim(name), value]),
  );
}
