import type { DaemonFacts } from "@banger/host/client";
import type { OperationRecord, ReconcileReport } from "@banger/core/client";
import { DaemonLauncher, slowEndText } from "../client/start-daemon.js";
import { renderDaemon } from "../render/daemon.js";
import { jsonOption, type CommandDefinition } from "./command.js";
import { note } from "./operate.js";
import { unlessAbsent } from "./unless-absent.js";

/** The answer of `GET /v1/daemon`. */
export interface DaemonStatus extends DaemonFacts {
  readonly pid: number;
  readonly uptimeSeconds: number;
  readonly residentBytes: number;
  readonly runningVms: number;
  /** what the daemon found when it began; absent while it still looks */
  readonly reconcile?: ReconcileReport;
  readonly operations: readonly OperationRecord[];
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
