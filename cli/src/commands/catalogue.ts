import type { CommandDefinition } from "./command.js";
import { completion } from "./completion.js";
import { configShow } from "./config.js";
import { daemonLogs } from "./daemon-logs.js";
import { daemonStatus, daemonStop } from "./daemon.js";
import { doctor } from "./doctor.js";
import { imageBuild, imageDelete, imageList, imageShow } from "./image.js";
import { operationCancel, operationList, operationShow } from "./operation.js";
import {
  pluginDisable,
  pluginEnable,
  pluginList,
  pluginShow,
} from "./plugin.js";
import { setup } from "./setup.js";
import {
  systemInstall,
  systemRestart,
  systemRunHelper,
  systemStatus,
  systemUninstall,
} from "./system.js";
import { version } from "./version.js";
import { vmCreate } from "./vm-create.js";
import { vmExec } from "./vm-exec.js";
import { vmForward } from "./vm-forward.js";
import { vmHealth } from "./vm-health.js";
import { vmKill } from "./vm-kill.js";
import { vmDelete, vmRestart, vmStart, vmStop } from "./vm-lifecycle.js";
import { vmList } from "./vm-list.js";
import { vmLogs } from "./vm-logs.js";
import { vmPing } from "./vm-ping.js";
import { vmPorts } from "./vm-ports.js";
import { vmPrune } from "./vm-prune.js";
import { vmRun } from "./vm-run.js";
import { vmSet } from "./vm-set.js";
import { vmShow } from "./vm-show.js";
import { vmSsh } from "./vm-ssh.js";
import { vmStats } from "./vm-stats.js";
import { vmTouch } from "./vm-touch.js";
import { vmWhyBlocked } from "./vm-why-blocked.js";

/** First words that have commands below them, and what those are about. */
export const groups: Readonly<Record<string, string>> = {
  vm: "Make, use and end VMs",
  image: "Build and look at images",
  plugin: "Look at plugins and choose those of new VMs",
  operation: "Look at what the daemon does, and cancel it",
  config: "Look at the configuration",
  daemon: "Look at the daemon and end it",
  system: "Install banger for a user, with a root helper, and remove it",
};

/** Every command, in the order of the help text. */
export const catalogue: readonly CommandDefinition[] = [
  vmRun,
  vmCreate,
  vmStart,
  vmStop,
  vmRestart,
  vmKill,
  vmDelete,
  vmPrune,
  vmList,
  vmShow,
  vmSet,
  vmTouch,
  vmSsh,
  vmExec,
  vmLogs,
  vmPorts,
  vmForward,
  vmStats,
  vmHealth,
  vmPing,
  vmWhyBlocked,
  imageList,
  imageShow,
  imageBuild,
  imageDelete,
  pluginList,
  pluginShow,
  pluginEnable,
  pluginDisable,
  operationList,
  operationShow,
  operationCancel,
  configShow,
  daemonStatus,
  daemonStop,
  daemonLogs,
  doctor,
  setup,
  systemInstall,
  systemStatus,
  systemRestart,
  systemUninstall,
  systemRunHelper,
  completion,
  version,
];
