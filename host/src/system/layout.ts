// Node's own modules only, and none of them: the bundled CLI imports this file.

/**
 * Every name of a system install. A host has at most one: names that root trusts cannot depend on who asks.
 * @see the Filesystem Hierarchy Standard, for what belongs where
 */
export const systemLayout = {
  /** root's, 0755 */
  recordDirectory: "/etc/banger",
  /** root's, 0644: who the owner is, and what is installed */
  recordFile: "/etc/banger/install.json",
  /** root's, 0755: programs, one directory each, and what is below */
  programsDirectory: "/usr/local/lib/banger",
  /** link to the program that is used */
  currentProgram: "/usr/local/lib/banger/current",
  /** link to the packages of the program that is used, where plugins of others find `@banger/core` */
  sharedModules: "/usr/local/lib/banger/node_modules",
  /** plugins of others: root puts their packages into `node_modules` below */
  pluginsDirectory: "/usr/local/lib/banger/plugins",
  /** link to the command line */
  command: "/usr/local/bin/banger",
  /** root's, 0755 */
  dataDirectory: "/var/lib/banger",
  /** the owner's, 0700 */
  configDirectory: "/var/lib/banger/config",
  /** the owner's, 0700 */
  stateDirectory: "/var/lib/banger/state",
  /** root's, 0711: jails of VMMs */
  jailDirectory: "/var/lib/banger/jail",
  /** the owner's, 0700 */
  cacheDirectory: "/var/cache/banger",
  /** the owner's, 0700: sockets of daemon and VMs */
  runDirectory: "/run/banger",
  /** root's, 0711: the owner passes through to the helper's socket */
  helperDirectory: "/run/banger-root",
  /** the owner's, 0600 */
  helperSocket: "/run/banger-root/helper.sock",
  /** root's, 0600: the helper's process */
  helperPidFile: "/run/banger-root/helper.pid",
  unitDirectory: "/etc/systemd/system",
  helperUnit: "banger-root.service",
  daemonUnit: "bangerd.service",
  /** there when systemd is the init system: sd_booted(3) */
  systemdMark: "/run/systemd/system",
} as const;

/** Where things are in a program's directory. */
export const programFiles = {
  node: "bin/node",
  command: "bin/banger",
  cli: "node_modules/@banger/cli/dist/banger-start.cjs",
  daemon: "node_modules/@banger/cli/dist/bangerd.js",
  helper: "node_modules/@banger/cli/dist/banger-root.js",
} as const;

/** What Node.js runs daemon and helper with: small heaps, as both idle nearly all of their time. */
export const nodeFlags = [
  "--max-semi-space-size=1",
  "--optimize-for-size",
  "--single-threaded-gc",
  "--v8-pool-size=1",
] as const;
