import { readlink } from "node:fs/promises";
import type { CommandRunner } from "@banger/core";
import { hasErrorCode } from "../files/error-code.js";
import { socketState, type SocketState } from "./answers.js";
import { readInstallRecord, type InstallRecord } from "./install-record.js";
import { systemLayout } from "./layout.js";
import { isForeignCommand, isThere } from "./system-plan.js";
import { Systemctl } from "./systemctl.js";

/** The system install as it is found. */
export interface SystemStatus {
  readonly record: InstallRecord;
  /** what is missing or differs from the record, a sentence each; empty when it is whole */
  readonly problems: readonly string[];
  /** by unit; empty without systemd */
  readonly units: Readonly<Record<string, string>>;
  readonly helper: SocketState;
  readonly daemon: SocketState;
  readonly paths: typeof systemLayout;
}

/**
 * Looks at the system install; anybody may.
 * @returns `undefined` when there is none
 * @throws InstallRecordError
 */
export async function readSystemStatus(
  commands: CommandRunner,
  signal: AbortSignal,
): Promise<SystemStatus | undefined> {
  const record = await readInstallRecord();
  if (!record) return undefined;
  const { helperUnit, daemonUnit, helperSocket, runDirectory } = systemLayout;
  const units: Record<string, string> = {};
  if (record.service === "systemd") {
    const systemctl = new Systemctl(commands, signal);
    for (const unit of [helperUnit, daemonUnit])
      units[unit] = await systemctl.stateOf(unit);
  }
  return {
    record,
    problems: await findProblems(record),
    units,
    helper: await socketState(helperSocket),
    daemon: await socketState(`${runDirectory}/bangerd.sock`),
    paths: systemLayout,
  };
}

async function findProblems(record: InstallRecord): Promise<readonly string[]> {
  const { currentProgram, command, dataDirectory } = systemLayout;
  const problems: string[] = [];
  const current = await targetOf(currentProgram);
  if (current !== record.program)
    problems.push(
      `${currentProgram} leads to ${current ?? "nothing"}, the record says ${record.program}: an install was interrupted`,
    );
  if (!(await isThere(command)) || (await isForeignCommand(command)))
    problems.push(`${command} does not lead to banger`);
  if (!(await isThere(dataDirectory)))
    problems.push(`${dataDirectory} is missing`);
  return problems;
}

async function targetOf(link: string): Promise<string | undefined> {
  try {
    return await readlink(link);
  } catch (error) {
    if (hasErrorCode(error, "ENOENT", "EINVAL", "ENOTDIR")) return undefined;
    throw error;
  }
}
