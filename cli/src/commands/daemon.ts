import type { DaemonFacts, OngoingOperation } from "@banger/host/client";
import { isBangerError } from "@banger/core/client";
import { DaemonLauncher, slowEndText } from "../client/start-daemon.js";
import { renderDaemon } from "../render/daemon.js";
import { jsonOption, type CommandDefinition } from "./command.js";
import { note } from "./operate.js";

/** The answer of `GET /v1/daemon`. */
export interface DaemonStatus extends DaemonFacts {
  readonly pid: number;
  readonly uptimeSeconds: number;
  readonly residentBytes: number;
  readonly runningVms: number;
  readonly operations: readonly OngoingOperation[];
}

export const daemonStatus: CommandDefinition = {
  words: ["daemon", "status"],
  summary: "Show the daemon; starts none",
  options: jsonOption,
  examples: [["daemon status", "process, version, uptime, VMs"]],
  run: async (_args, cli) => {
    const status = await unlessAbsent(
      cli.runningClient.read<DaemonStatus>("/v1/daemon"),
    );
    if (!status)
      return {
        json: { running: false },
        text: () => "the daemon does not run",
      };
    return {
      json: { running: true, ...status },
      text: () => renderDaemon(status, cli.build, cli.style),
    };
  },
};

export const daemonStop: CommandDefinition = {
  words: ["daemon", "stop"],
  summary: "End the daemon; VMs run on",
  examples: [["daemon stop", "the next command starts it again"]],
  run: async (_args, cli) => {
    const { runningClient, paths } = cli;
    const stopping = await unlessAbsent(
      runningClient.read<{ pid: number }>("/v1/daemon/stop", {
        method: "POST",
      }),
    );
    if (stopping)
      await new DaemonLauncher(
        paths,
        { args: [], env: {} },
        {
          onSlowEnd: (pid) => {
            note(cli, slowEndText(pid));
          },
        },
      ).ended(stopping.pid);
    note(cli, stopping ? "the daemon has ended" : "the daemon does not run");
    return {};
  },
};

async function unlessAbsent<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (isBangerError(error) && error.code === "ERR_DAEMON_UNREACHABLE")
      return undefined;
    throw error;
  }
}
