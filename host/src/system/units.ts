import { nodeFlags, programFiles, systemLayout } from "./layout.js";

/** The first line of each unit, by which it is known as ours. */
export const unitMark =
  "# Made by `banger system install`; changed by hand it stays what it was only until the next install.";

/** What the units of one host depend on. */
export interface UnitSettings {
  /** account name */
  readonly owner: string;
  /** does this host's `iptables` work on the old tables, for which it opens raw sockets? */
  readonly legacyIptables: boolean;
  /** does the helper know a jailer? Whom it launches inherits its rights */
  readonly jailer: boolean;
}

/** The units, in the order in which they start. */
export const unitNames = [
  systemLayout.helperUnit,
  systemLayout.daemonUnit,
] as const;

/** Text of the units, by file name. Pure. docs/privileges.md has the reason for each line. */
export function renderUnits(
  settings: UnitSettings,
): Readonly<Record<string, string>> {
  return {
    [systemLayout.helperUnit]: renderHelper(settings),
    [systemLayout.daemonUnit]: renderDaemon(settings),
  };
}

type Section = readonly (readonly [name: string, value: string])[];

/** KVM by its number (Linux, include/linux/miscdevice.h: KVM_MINOR): a path counts only when it is there as the unit starts. */
const kvmDevice = "/dev/char/10:232";

/** What the old iptables takes turns with. */
const xtablesLock = "/run/xtables.lock";

function renderHelper(settings: UnitSettings): string {
  const { legacyIptables, jailer } = settings;
  const { helperSocket, dataDirectory } = systemLayout;
  const sandbox: Section = [
    ["CapabilityBoundingSet", capabilities(settings).join(" ")],
    ["ProtectHome", "yes"],
    ["PrivateTmp", "yes"],
    [
      "ReadWritePaths",
      `${dataDirectory} /proc/sys/net/ipv4 -/proc/sys/net/ipv6${legacyIptables ? ` -${xtablesLock}` : ""}`,
    ],
    ["ProtectProc", "invisible"],
    ["RestrictNamespaces", jailer ? "mnt" : "yes"],
    ["ProtectControlGroups", jailer ? "no" : "yes"],
    ...systemCalls(jailer),
    ["RestrictSUIDSGID", "yes"],
    [
      "RestrictAddressFamilies",
      `AF_UNIX AF_NETLINK${legacyIptables ? " AF_INET AF_INET6" : ""}`,
    ],
    ["IPAddressDeny", "any"],
    // Group names, not nodes: those of loop and device-mapper come and go.
    ["DeviceAllow", "block-loop rwm"],
    ["DeviceAllow", "block-device-mapper rwm"],
    ["DeviceAllow", "/dev/loop-control rw"],
    ["DeviceAllow", "/dev/mapper/control rw"],
    ["DeviceAllow", "/dev/net/tun rwm"],
    ...(jailer ? ([["DeviceAllow", `${kvmDevice} rwm`]] as const) : []),
    ["UMask", "0022"],
  ];
  return render({
    Unit: [
      ["Description", "banger's root helper"],
      [
        "After",
        "network.target modprobe@loop.service modprobe@dm_snapshot.service modprobe@tun.service",
      ],
      [
        "Wants",
        "modprobe@loop.service modprobe@dm_snapshot.service modprobe@tun.service",
      ],
      ["StartLimitIntervalSec", "0"],
    ],
    Service: [
      ["Type", "exec"],
      ...(legacyIptables
        ? ([
            // Outside the sandbox, which lets it through only when it is there.
            ["ExecStartPre", `+/bin/sh -c 'umask 077; : >>${xtablesLock}'`],
          ] as const)
        : []),
      // What a killed one left would look like an answer.
      ["ExecStartPre", `/bin/rm -f ${helperSocket}`],
      ["ExecStart", nodeCommand(programFiles.helper)],
      // Who is ordered after it finds it listening; of one that has ended already nobody waits for more.
      [
        "ExecStartPost",
        `/bin/sh -c 'until test -S ${helperSocket}; do kill -0 $$MAINPID || exit; sleep 0.1; done'`,
      ],
      ["TimeoutStartSec", "30"],
      ["TimeoutStopSec", "30"],
      ["Restart", "on-failure"],
      ["RestartSec", "1"],
      ["RuntimeDirectory", "banger-root"],
      ["RuntimeDirectoryMode", "0711"],
      ...survival,
      ["SendSIGKILL", "no"],
      ...commonSandbox,
      ...sandbox,
    ],
    Install: [["WantedBy", "multi-user.target"]],
  });
}

function renderDaemon({ owner }: UnitSettings): string {
  const { dataDirectory, cacheDirectory, helperUnit } = systemLayout;
  const sandbox: Section = [
    ["CapabilityBoundingSet", ""],
    ["ProtectHome", "read-only"],
    ["PrivateTmp", "yes"],
    ["ReadWritePaths", `${dataDirectory} ${cacheDirectory}`],
    ["ProtectControlGroups", "yes"],
    ...systemCalls(true),
    ["RestrictNamespaces", "user mnt pid uts ipc"],
    ["RestrictAddressFamilies", "AF_UNIX AF_NETLINK AF_INET AF_INET6"],
    ["DeviceAllow", `${kvmDevice} rw`],
    ["DeviceAllow", "/dev/net/tun rw"],
    ["UMask", "0077"],
  ];
  return render({
    Unit: [
      ["Description", `banger's daemon, as ${owner}`],
      ["After", `network.target ${helperUnit}`],
      ["Wants", helperUnit],
      ["StartLimitIntervalSec", "0"],
    ],
    Service: [
      ["Type", "exec"],
      ["User", owner],
      ["ExecStart", nodeCommand(programFiles.daemon)],
      // Ends when asked to, also to take up a changed configuration, and is there again for the next command.
      ["Restart", "always"],
      ["RestartSec", "1"],
      // It gives its operations 60 s to clean up.
      ["TimeoutStopSec", "90"],
      ["RuntimeDirectory", "banger"],
      ["RuntimeDirectoryMode", "0700"],
      ...survival,
      ...commonSandbox,
      ...sandbox,
    ],
    Install: [["WantedBy", "multi-user.target"]],
  });
}

/** VMs outlive the services: only a service's main process is ended, and what a VM has in `/run` stays. */
const survival: Section = [
  ["KillMode", "process"],
  ["OOMPolicy", "continue"],
  ["TasksMax", "infinity"],
  ["RuntimeDirectoryPreserve", "yes"],
];

const commonSandbox: Section = [
  ["NoNewPrivileges", "yes"],
  ["AmbientCapabilities", ""],
  ["ProtectSystem", "strict"],
  ["PrivateMounts", "yes"],
  ["ProtectKernelModules", "yes"],
  ["ProtectKernelLogs", "yes"],
  ["ProtectKernelTunables", "yes"],
  ["ProtectClock", "yes"],
  ["ProtectHostname", "yes"],
  ["RestrictRealtime", "yes"],
  ["LockPersonality", "yes"],
  ["KeyringMode", "private"],
  ["SystemCallArchitectures", "native"],
  ["SystemCallErrorNumber", "EPERM"],
  ["DevicePolicy", "closed"],
];

function capabilities({
  legacyIptables,
  jailer,
}: UnitSettings): readonly string[] {
  return [
    ...["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_NET_ADMIN"],
    ...(legacyIptables ? ["CAP_NET_RAW"] : []),
    ...["CAP_SETGID", "CAP_SETUID", "CAP_SYS_ADMIN"],
    ...(jailer ? ["CAP_KILL", "CAP_MKNOD", "CAP_SYS_PTRACE"] : []),
  ];
}

/** What may be called, first, as the first line decides that the others are a list of that; then what of it may not. */
function systemCalls(mounts: boolean): Section {
  const usual = "@system-service @pkey seccomp";
  return [
    ["SystemCallFilter", mounts ? `${usual} @mount` : usual],
    ["SystemCallFilter", "~@resources"],
  ];
}

function nodeCommand(script: string): string {
  const { currentProgram } = systemLayout;
  const node = `${currentProgram}/${programFiles.node}`;
  return [node, ...nodeFlags, `${currentProgram}/${script}`].join(" ");
}

function render(sections: Readonly<Record<string, Section>>): string {
  const blocks = Object.entries(sections).map(([name, lines]) =>
    [`[${name}]`, ...lines.map((line) => line.join("="))].join("\n"),
  );
  return `${[unitMark, ...blocks].join("\n\n")}\n`;
}
