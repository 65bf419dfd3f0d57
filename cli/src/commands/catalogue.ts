import type { CommandDefinition } from "./command.js";
import { vmExec } from "./vm-exec.js";
import { vmDelete, vmStart, vmStop } from "./vm-lifecycle.js";
import { vmList } from "./vm-list.js";
import { vmRun } from "./vm-run.js";
import { vmSsh } from "./vm-ssh.js";

/** First words that have commands below them, and what those are about. */
export const groups: Readonly<Record<string, string>> = {
  vm: "Make, use and end VMs",
};

/** Every command, in the order of the help text. */
export const catalogue: readonly CommandDefinition[] = [
  vmRun,
  vmStart,
  vmStop,
  vmDelete,
  vmList,
  vmSsh,
  vmExec,
];
