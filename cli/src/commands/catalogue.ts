import type { CommandDefinition } from "./command.js";
import { completion } from "./completion.js";
import { configShow } from "./config.js";
import { daemonLogs } from "./daemon-logs.js";
import { daemonStatus, daemonStop } from "./daemon.js";
import { doctor } from "./doctor.js";
import { imageBuild, imageDelete, imageList, imageShow } from "./image.js";
import {
  pluginDisable,
  pluginEnable,
  pluginList,
  pluginShow,
} from "./plugin.js";
import { setup } from "./setup.js";
import { version } from "./version.js";
import { vmCreate } from "./vm-create.js";
import { vmExec } from "./vm-exec.js";
import { vmDelete, vmStart, vmStop } from "./vm-lifecycle.js";
import { vmList } from "./vm-list.js";
import { vmLogs } from "./vm-logs.js";
import { vmRun } from "./vm-run.js";
import { vmSet } from "./vm-set.js";
import { vmShow } from "./vm-show.js";
import { vmSsh } from "./vm-ssh.js";

/** First words that have commands below them, and what those are about. */
export const groups: Readonly<Record<string, string>> = {
  vm: "Make, use and end VMs",
  image: "Build and look at images",
  plugin: "Look at plugins and choose those of new VMs",
  config: "Look at the configuration",
  daemon: "Look at the daemon and end it",
};

/** Every command, in the order of the help text. */
export const catalogue: readonly CommandDefinition[] = [
  vmRun,
  vmCreate,
  vmStart,
  vmStop,
  vmDelete,
  vmList,
  vmShow,
  vmSet,
  vmSsh,
  vmExec,
  vmLogs,
  imageList,
  imageShow,
  imageBuild,
  imageDelete,
  pluginList,
  pluginShow,
  pluginEnable,
  pluginDisable,
  configShow,
  daemonStatus,
  daemonStop,
  daemonLogs,
  doctor,
  setup,
  completion,
  version,
];
